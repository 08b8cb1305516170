"""Prediction beside measurement: what size lets expect, whether an audit agrees, and if not, why."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..config import AuditConfig
from ..documents.estimate import Estimate
from ..documents.prediction import Comparison, Measure, Prediction, PredictionBesideMeasurement
from ..documents.result import AttackResult, MemorizationResult
from ..documents.sample_table import SampleTable
from ..errors import ConfigError
from ..laws.constants import Constants
from ..laws.prediction import LONG_TRAINING, Plan, predict

__all__ = ["check_stated_size", "compare", "set_beside"]

_MEASURES: dict[str, Measure] = {
    "loss attack, F1": "f1",
    "loss attack, AUC": "auc",
    "reference attack, F1": "f1",
    "reference attack, AUC": "auc",
    "best attack, AUC (ceiling)": "auc",
    "bits of a member (ceiling)": "bits",
    "capacity used by audited members (ceiling)": "share",
}
_WHY_ABOVE = (
    "Possible reasons: these texts are remembered better than the average sample of such a training set (repeats, rare "
    "texts), the training set is smaller than stated, the model was trained for longer than those behind the law, or "
    "the two sides differ in more than membership."
)
_WHY_BELOW = (
    "Possible reasons: the model was trained for less long than those behind the law{epochs}, it was regularised, or "
    "the texts were not, or hardly, trained on."
)
_WHY_OVER = (
    "Possible reasons: these texts are held better than the average sample of the training set (repeats), the training "
    "set is smaller than stated, the capacity constant is too small, or the two sides differ in more than membership."
)


def compare(
    prediction: Prediction,
    *,
    loss_f1: Estimate | None,
    loss_auc: Estimate | None,
    reference_f1: Estimate | None,
    reference_auc: Estimate | None,
    best_auc: Estimate | None,
    bits_per_member: Estimate | None,
    capacity_used: Estimate | None,
) -> PredictionBesideMeasurement:
    """Set what was measured beside what the sizes of model and training set let expect.

    A band and an interval agree if they overlap; a ceiling agrees unless the whole interval lies above it. The
    intervals cover the sampling of texts; neither they nor the band cover training the model once more.

    Parameters
    ----------
    prediction : Prediction
        Of the audited model and its whole training set.
    loss_f1, loss_auc, reference_f1, reference_auc : Estimate or None
        Of the loss attack and of the attack with a reference; None if it was not run.
    best_auc : Estimate or None
        The largest measured AUC of any attack. It is the best of several, so it is only held against the ceiling.
    bits_per_member : Estimate or None, bits
        Debiased bits of a member, held against the bits per sample that fit into the model.
    capacity_used : Estimate or None
        Share of the capacity that the audited members use.
    """
    law, reference, ceiling = prediction.law, prediction.reference_attack, prediction.ceiling
    why_below = _WHY_BELOW.format(epochs=_few_epochs(prediction))
    banded = [
        _against_band(replace(_open(quantity, *band, measured), bound=attack.bound), measured, why_below)
        for attack, quantity, band, measured in (
            (law, "loss attack, F1", (law.f1, law.f1_low, law.f1_high), loss_f1),
            (law, "loss attack, AUC", (law.auc, law.auc_low, law.auc_high), loss_auc),
            (reference, "reference attack, F1", (reference.f1, reference.f1_low, reference.f1_high), reference_f1),
            (reference, "reference attack, AUC", (reference.auc, reference.auc_low, reference.auc_high), reference_auc),
        )
        if measured is not None
    ]
    capped = [
        _against_ceiling(quantity, least, most, measured)
        for quantity, least, most, measured in (
            ("best attack, AUC (ceiling)", 0.5, ceiling.auc, best_auc),
            ("bits of a member (ceiling)", 0.0, ceiling.bits_per_sample, bits_per_member),
            ("capacity used by audited members (ceiling)", 0.0, 1.0, capacity_used),
        )
        if measured is not None
    ]
    after = "" if law.in_range else " The prediction is an extrapolation, see its warnings."
    return PredictionBesideMeasurement(
        prediction=prediction,
        comparisons=(*banded, *capped),
        summary=_summary(banded, capped, why_below) + after,
    )


def _few_epochs(prediction: Prediction) -> str:
    """Say how many epochs there were, if the law is about more."""
    few = prediction.epochs is not None and prediction.epochs < LONG_TRAINING
    return f" ({prediction.epochs:g} epochs here, hundreds there)" if few else ""


def _against_band(found: Comparison, measured: Estimate, why_below: str) -> Comparison:
    """Judge a comparison that is still open."""
    if measured.low is None or measured.high is None:
        return found
    if measured.low > found.predicted_high:
        return replace(found, agrees=False, meaning=f"Above the prediction. {_WHY_ABOVE}")
    if measured.high < found.predicted_low:
        return replace(found, agrees=False, meaning=f"Below the prediction. {why_below}")
    if found.bound is not None:
        meaning = f"Within the prediction, which is one-sided ({found.bound})."
    elif _is_vague(found):
        meaning = "Band and interval overlap, but the interval also holds a coin flip: more texts would tell."
    else:
        meaning = "Band and interval overlap: size alone would explain it."
    return replace(found, agrees=True, meaning=meaning)


def _against_ceiling(quantity: str, least: float, ceiling: float, measured: Estimate) -> Comparison:
    found = replace(_open(quantity, ceiling, least, ceiling, measured), is_ceiling=True)
    if measured.low is None:
        return found
    if measured.low > ceiling:
        return replace(found, agrees=False, meaning=f"Above the ceiling. {_WHY_OVER}")
    return replace(found, agrees=True, meaning="Within the ceiling, as it must be if the capacity constant holds.")


def _open(quantity: str, value: float, low: float, high: float, measured: Estimate) -> Comparison:
    """Set both side by side, not yet judged."""
    return Comparison(
        quantity=quantity,
        predicted=value,
        predicted_low=low,
        predicted_high=high,
        measured=measured.value,
        measured_low=measured.low,
        measured_high=measured.high,
        agrees=None,
        measure=_MEASURES[quantity],
        is_ceiling=False,
        meaning=f"Not measured: {measured.undefined_reason}.",
    )


def _is_vague(one: Comparison) -> bool:
    """Whether a signal was predicted, and the interval holds a coin flip all the same."""
    return one.predicted_low > 0.5 and one.measured_low is not None and one.measured_low <= 0.5


def _summary(banded: Sequence[Comparison], capped: Sequence[Comparison], why_below: str) -> str:
    """Say in a few sentences whether size explains what was found, and what it may mean if not."""
    over = [one for one in capped if one.agrees is False]
    above = [one for one in banded if one.agrees is False and (one.measured or 0.0) > one.predicted_high]
    below = [one for one in banded if one.agrees is False and one not in above]
    vague = [one for one in banded if one.agrees and _is_vague(one)]
    said = [
        f"{_subjects(found)}: {what}. {why}".rstrip()
        for found, what, why in (
            (over, "more than the model can hold of its training set", _WHY_OVER),
            (above, "above what size lets expect", "" if over else _WHY_ABOVE),
            (below, "below what size lets expect", why_below),
        )
        if found
    ]
    if not said:
        said = [_agreement(banded, capped)]
    if vague:
        said.append(f"{_subjects(vague)}: the interval also holds a coin flip, more texts would tell.")
    return " ".join(said)


def _agreement(banded: Sequence[Comparison], capped: Sequence[Comparison]) -> str:
    if any(one.agrees for one in banded):
        return "What was measured agrees with what the size of model and training set lets expect."
    if any(one.agrees for one in capped):
        return "What was measured lies within the ceilings; no attack that the law speaks of was measured."
    return "Nothing was measured that the prediction could be held against."


def _subjects(comparisons: Sequence[Comparison]) -> str:
    """Name what came out in a way, each attack once, as the start of a sentence."""
    found = [one.quantity.partition(",")[0].removesuffix(" (ceiling)") for one in comparisons]
    names = " and ".join(dict.fromkeys(found))
    return names[:1].upper() + names[1:]


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
    n_vocabulary: int,
    stored_dtype: str,
    n_members_cut: int,
    table: SampleTable,
    attacks: Sequence[AttackResult],
    memorization: MemorizationResult | None,
) -> PredictionBesideMeasurement | None:
    """Predict from the stated size of the training set, and set it beside what was measured; None if none is stated.

    Many parameters: what was stated beside what was measured.

    Parameters
    ----------
    n_parameters, n_trained : int
        Parameters of the target without its adapter, and those of its adapter if it has one.
    n_vocabulary : int
        Entries of its vocabulary.
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
            n_vocabulary=n_vocabulary,
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
