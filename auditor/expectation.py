"""What the sizes of model and training set let expect of an audit, from the stated size of the training set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .config import AuditConfig
from .documents.calibration import read_calibration
from .documents.capacity import read_capacity
from .documents.estimate import Estimate
from .documents.prediction import PredictionBesideMeasurement
from .documents.result import AttackResult, MemorizationResult
from .documents.sample_table import SampleTable
from .errors import ConfigError
from .laws.calibration import law_from
from .laws.capacity import BitsPerParameter, bits_per_parameter, measured_bits_per_parameter
from .laws.comparison import compare
from .laws.membership import PAPER_LAW, REFERENCE_LAW, MembershipLaw
from .laws.prediction import Plan, predict

__all__ = ["Constants", "check_stated_size", "read_constants", "set_beside"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What predictions rest on. ``capacity`` is None for the paper's constant of the target's precision."""

    capacity: BitsPerParameter | None
    law: MembershipLaw
    reference_law: MembershipLaw

    def capacity_for(self, stored_dtype: str) -> BitsPerParameter:
        """Return the capacity constant of a target stored in a precision."""
        return self.capacity or bits_per_parameter(stored_dtype)


def read_constants(config: AuditConfig) -> Constants:
    """Read the files of a measured capacity and a calibrated law, before anything is scored.

    Raises
    ------
    ResultError
        If a file cannot be read or is not what it should be.
    """
    capacity = None
    if config.bits_per_parameter is not None:
        capacity = BitsPerParameter(config.bits_per_parameter, "given (--bits-per-parameter)")
    if config.capacity is not None:
        capacity = measured_bits_per_parameter(read_capacity(Path(config.capacity)))
    if config.calibration is None:
        return Constants(capacity=capacity, law=PAPER_LAW, reference_law=REFERENCE_LAW)
    calibration = read_calibration(Path(config.calibration))
    return Constants(
        capacity=capacity, law=law_from(calibration, "loss"), reference_law=law_from(calibration, "reference")
    )


def check_stated_size(config: AuditConfig, n_members: int) -> None:
    """Refuse a training set that is stated to be smaller than the members alone, before anything is scored.

    Raises
    ------
    ConfigError
        Samples and tokens are both at least as many as the different texts among the members.
    """
    for name in ("train_samples", "train_tokens"):
        value = getattr(config, name)
        if value is not None and value < n_members:
            raise ConfigError(
                f"{name.replace('_', '-')} is {value:g}, but there are {n_members:,} different members, all of which "
                "the target was trained on: give the size of its whole training set"
            )


def set_beside(
    config: AuditConfig,
    constants: Constants,
    *,
    n_parameters: int,
    n_trained: int | None,
    stored_dtype: str,
    n_members_cut: int,
    table: SampleTable,
    attacks: Sequence[AttackResult],
    memorization: MemorizationResult | None,
) -> PredictionBesideMeasurement | None:
    """Predict from the stated size of the training set, and set it beside what was measured; None if none is stated.

    Parameters
    ----------
    n_parameters, n_trained : int
        Parameters of the target without its adapter, and those of its adapter if it has one.
    n_members_cut : int
        Members that were not scored whole.
    table : SampleTable
        A training sample is taken to have as many tokens as a member has on average. The bits of a token of the
        training set are those of the non-members (of the members if there are none) under the reference.
    """
    if config.train_samples is None and config.train_tokens is None:
        return None
    sample_tokens = float(table.n_tokens[table.is_member].mean())
    tokens = config.train_tokens or (config.train_samples or 0.0) * sample_tokens
    bits_per_token, source = _bits_per_token(table)
    prediction = predict(
        Plan(
            params=n_parameters + (n_trained or 0),
            tokens=tokens,
            sample_tokens=sample_tokens,
            trainable_params=n_trained,
            fine_tuning=config.fine_tuned or n_trained is not None,
            epochs=config.epochs,
            capacity=constants.capacity_for(stored_dtype),
            bits_per_token=bits_per_token,
            dataset_bits_source=source,
            law=constants.law,
            reference_law=constants.reference_law,
            notes=tuple(_notes(config, n_members_cut, float(table.n_tokens[table.is_member].sum()))),
        )
    )
    loss, reference = _attack(attacks, "loss"), _attack(attacks, "reference")
    return compare(
        prediction,
        loss_f1=loss.f1_equal_error if loss else None,
        loss_auc=loss.auc if loss else None,
        reference_f1=reference.f1_equal_error if reference else None,
        reference_auc=reference.auc if reference else None,
        best_auc=_best_auc(attacks),
        bits_per_member=memorization.debiased_bits_per_member if memorization else None,
        capacity_used=memorization.capacity_used if memorization else None,
    )


def _notes(config: AuditConfig, n_members_cut: int, member_tokens: float) -> Iterator[str]:
    """Say where the stated size and the members do not fit together."""
    if config.train_samples is not None and n_members_cut:
        yield (
            f"{n_members_cut:,} of the members were cut, so samples are longer than taken here and the training "
            "set is larger: --train-tokens would state it exactly"
        )
    if config.train_tokens is not None and config.train_tokens < member_tokens:
        yield (
            f"the training set is stated to have {config.train_tokens:,.0f} tokens, fewer than the members alone with "
            f"{member_tokens:,.0f} (right only if they repeat each other)"
        )


def _bits_per_token(table: SampleTable) -> tuple[float | None, str]:
    """Estimate the information in a token of the training set from the reference, if there is one."""
    if table.reference_bits is None:
        return None, "not known: there is no reference model to estimate it with"
    side = ~table.is_member if not table.is_member.all() else table.is_member
    who = "members" if table.is_member.all() else "non-members"
    value = float(np.sum(table.reference_bits[side]) / np.sum(table.n_tokens[side]))
    return max(value, 1e-9), f"{value:.3g} bits per token, the code length of {who} under the reference"


def _attack(attacks: Sequence[AttackResult], name: str) -> AttackResult | None:
    return next((attack for attack in attacks if attack.name == name), None)


def _best_auc(attacks: Sequence[AttackResult]) -> Estimate | None:
    """Return the largest AUC that was measured, or one that says why there is none."""
    return max((attack.auc for attack in attacks), key=lambda auc: auc.value or 0.0, default=None)
