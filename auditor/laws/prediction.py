"""From a plan of training to its risk: capacity, bits, the membership law and the ceiling of attacks."""

import math
from dataclasses import dataclass, replace

from ..documents.prediction import AttackPrediction, Bound, Ceiling, Inverse, LawPrediction, Prediction, RepeatedText
from .capacity import BitsPerParameter, memorized_bits
from .ceilings import advantage_ceiling, auc_ceiling
from .membership import LAW_SAMPLE_TOKENS, PAPER_LAW, REFERENCE_LAW, MembershipLaw, auc_from_f1, f1_from_auc

__all__ = ["LARGEST_VOCABULARY", "LONG_TRAINING", "Plan", "predict", "solve_plan"]

LARGEST_VOCABULARY = 2**18
"""Entries of the largest vocabularies in use; taken where the vocabulary is not known."""

LONG_TRAINING = 200
"""Epochs from which a model counts as trained long. F1 still rises, more slowly: on Bible chapters from .82 at 300
epochs to .88 at 900, which is why a calibration trains one cell longer."""

BY_FREQUENCY = (
    "read, not measured here: Hubble (arXiv:2510.19811) finds that risk follows a text's frequency relative to the "
    "size of the corpus, so the law is taken where a text that stands there once is as frequent"
)
LORA_OF_OTHERS = (
    "read, not measured here: LoRA memorizes less than full fine-tuning (arXiv:2506.20856, by the likeness of what is "
    "generated), and what it can hold follows a law of its own, loss saved = C rank^a length^-b + const with constants "
    "fitted for each model (arXiv:2605.30260)"
)
EARLY = (
    "read, not measured here: a fine-tune memorizes most in its first epochs, before its validation loss is best "
    "(arXiv:2510.11372), so audit its early checkpoints too"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be trained on what.

    Parameters
    ----------
    params : int or None
        All parameters, tied ones once; None if it is to be solved for.
    tokens : float or None
        Tokens of the training set, each counted once however many epochs there are; None if to be solved for.
    sample_tokens : float
        Tokens of a sample.
    capacity : BitsPerParameter
    trainable_params : int, optional
        Parameters that training changes, if not all of them (LoRA).
    fine_tuning : bool
        Training starts from a trained model.
    epochs : float, optional
    bits_per_token, dataset_bits : float, optional, bits
        Information in a token of the data, or in all of it; at most one.
    dataset_bits_source : str
    n_vocabulary : int, optional
        Entries of the vocabulary: a token holds at most log2 of that many bits, whatever the model.
    copies : float, optional
        Times that a text of interest stands in the training set, in one pass over it.
    law, reference_law : MembershipLaw
        Of the loss attack, and of an attack with a reference model.
    notes : tuple of str
        What was found when the plan was made; they head the warnings.
    """

    params: int | None
    tokens: float | None
    capacity: BitsPerParameter
    sample_tokens: float = LAW_SAMPLE_TOKENS
    trainable_params: int | None = None
    fine_tuning: bool = False
    epochs: float | None = None
    bits_per_token: float | None = None
    dataset_bits: float | None = None
    dataset_bits_source: str = "not given (bits per token of the data)"
    n_vocabulary: int | None = None
    copies: float | None = None
    law: MembershipLaw = PAPER_LAW
    reference_law: MembershipLaw = REFERENCE_LAW
    notes: tuple[str, ...] = ()

    @property
    def bits_per_sample_at_most(self) -> float:
        """Most bits that the tokens of a sample can hold."""
        return self.sample_tokens * math.log2(self.n_vocabulary or LARGEST_VOCABULARY)

    def __post_init__(self) -> None:
        if self.params is None and self.tokens is None:
            raise ValueError("a plan needs parameters or data")
        for name in ("params", "tokens", "trainable_params", "epochs", "bits_per_token", "dataset_bits"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be greater than 0 and finite, got {value}")
        if not 1 <= self.sample_tokens < math.inf:
            raise ValueError(f"sample_tokens must be at least 1 and finite, got {self.sample_tokens}")
        if self.copies is not None and not 1 <= self.copies < math.inf:
            raise ValueError(f"copies must be at least 1 (the text itself) and finite, got {self.copies:g}")
        if self.n_vocabulary is not None and self.n_vocabulary < 2:
            raise ValueError(f"a vocabulary has at least 2 entries, got {self.n_vocabulary}")
        if self.bits_per_token is not None and self.dataset_bits is not None:
            raise ValueError("give the bits of a token or of the whole data set, not both")
        if self.params is None and self.trainable_params is not None:
            raise ValueError(
                "the size of a model of which only a part is trained cannot be solved for: give params too"
            )
        if self.trainable_params is not None and self.params is not None and self.trainable_params > self.params:
            raise ValueError(f"{self.trainable_params} trainable parameters are more than all {self.params}")


def predict(plan: Plan, *, target_f1: float | None = None, target_auc: float | None = None) -> Prediction:
    """Predict what a plan will leak.

    Parameters
    ----------
    plan : Plan
        If it leaves out the parameters or the data, these are solved for with the target.
    target_f1, target_auc : float, optional
        At most one: what the loss attack should not exceed. Adds ``inverse``.

    Returns
    -------
    Prediction
        Numbers outside the range that a law was fitted on are given, with ``in_range`` False and a warning.

    Raises
    ------
    ValueError
        If a target is out of reach, or is missing where the plan leaves something out.

    References
    ----------
    .. [1] Morris et al. 2025, arXiv 2505.24832: capacity (section 3), the law (section 5). The ceiling is ours.
    """
    if target_f1 is not None and target_auc is not None:
        raise ValueError("give a target F1 or a target AUC, not both")
    f1 = f1_from_auc(target_auc) if target_f1 is None and target_auc is not None else target_f1
    inverse = None if f1 is None else _inverse(plan, f1)
    if inverse is not None:
        plan = solve_plan(plan, inverse)
    if plan.params is None or plan.tokens is None:
        raise ValueError("a plan without parameters or without data needs a target F1 or AUC to be solved for")
    trained = plan.trainable_params or plan.params
    samples = plan.tokens / plan.sample_tokens
    capacity_bits = plan.capacity.value * trained
    dataset_bits = plan.dataset_bits if plan.bits_per_token is None else plan.bits_per_token * plan.tokens
    memorized = min(memorized_bits(capacity_bits, dataset_bits), samples * plan.bits_per_sample_at_most)
    ratio = plan.tokens / LAW_SAMPLE_TOKENS / trained
    held = memorized / samples
    advantage = advantage_ceiling(held)
    ceiling = Ceiling(bits_per_sample=held, advantage=advantage, auc=auc_ceiling(advantage))
    law = _by_law(plan, ratio)
    return Prediction(
        params=plan.params,
        trainable_params=trained,
        samples=samples,
        tokens=float(plan.tokens),
        sample_tokens=float(plan.sample_tokens),
        epochs=plan.epochs,
        samples_per_parameter=samples / trained,
        tokens_per_parameter=plan.tokens / trained,
        bits_per_parameter=plan.capacity.value,
        bits_per_parameter_source=plan.capacity.source,
        capacity_bits=capacity_bits,
        dataset_bits=dataset_bits,
        dataset_bits_source=plan.dataset_bits_source,
        memorized_bits=memorized,
        bits_per_sample=held,
        bits_per_sample_at_most=plan.bits_per_sample_at_most,
        n_vocabulary=plan.n_vocabulary,
        law=law,
        reference_attack=_by_reference_law(plan, ratio),
        ceiling=ceiling,
        inverse=inverse,
        repeated=_repeated(plan, trained),
        warnings=(*plan.notes, *_of_measurements(plan), *_warnings(plan, law, ceiling)),
    )


def _of_adapters(plan: Plan) -> str:
    """Say what is known of adapters: the capacity, if it was measured with one."""
    if plan.capacity.lora_rank is not None:
        return f"the capacity was measured with a LoRA of rank {plan.capacity.lora_rank}, the law never with adapters"
    return f"neither was measured for adapters (`auditor capacity --lora RANK` measures the first). {LORA_OF_OTHERS}"


def solve_plan(plan: Plan, inverse: Inverse) -> Plan:
    """Fill in what a plan leaves out, so that it lies where the law gives the target."""
    if plan.params is None:
        return replace(plan, params=inverse.params_at_most)
    if plan.tokens is None:
        return replace(plan, tokens=inverse.tokens_needed)
    return plan


def _inverse(plan: Plan, f1: float) -> Inverse:
    """Find the data and the parameters at which the law gives an F1."""
    ratio = plan.law.samples_per_parameter(f1)
    if not ratio > 0:
        least = plan.law.f1(1e-12)
        raise ValueError(f"an F1 of {f1:.6g} is out of reach: for the smallest data set the law gives {least:.4g}")
    trained = plan.trainable_params or plan.params
    tokens = None if trained is None else ratio * trained * LAW_SAMPLE_TOKENS
    return Inverse(
        f1=f1,
        auc=auc_from_f1(f1),
        samples_per_parameter=ratio,
        tokens_needed=tokens,
        samples_needed=None if tokens is None else tokens / plan.sample_tokens,
        params_at_most=None if plan.tokens is None else max(1, int(plan.tokens / LAW_SAMPLE_TOKENS / ratio)),
        in_range=plan.law.in_range(ratio) and _is_comparable(plan),
    )


def _is_comparable(plan: Plan) -> bool:
    """Whether the plan is of the kind that the law was fitted on: all parameters, from scratch, 64-token samples."""
    partly = plan.trainable_params is not None and plan.trainable_params != plan.params
    trained = plan.trainable_params or plan.params
    other_size = trained is not None and not plan.law.fits_size(trained)
    return not (
        partly or plan.fine_tuning or _has_few_epochs(plan) or other_size or plan.sample_tokens != LAW_SAMPLE_TOKENS
    )


def _band(plan: Plan, law: MembershipLaw, ratio: float) -> tuple[float, float, Bound | None]:
    """Return the ends of the band of F1; where it is known to which side a plan leaves the law, one end says nothing.

    F1 falls with more data, rises with training, and rises with the length of the text that an attacker holds. With
    more data than the law was fitted on the band itself ends at a coin flip.
    """
    low, high = law.band.around(law.f1(ratio))
    lower = plan.sample_tokens < LAW_SAMPLE_TOKENS or _has_few_epochs(plan)
    upper = plan.sample_tokens > LAW_SAMPLE_TOKENS
    if ratio < law.fitted_from and not law.in_range(ratio):
        low, upper = min(low, law.band.around(law.f1(law.fitted_from))[0]), True
    if lower:
        return 0.5, 1.0 if upper else high, "at most"
    return low, 1.0 if upper else high, "at least" if upper else None


def _has_few_epochs(plan: Plan) -> bool:
    return plan.epochs is not None and plan.epochs < LONG_TRAINING


def _by_law(plan: Plan, ratio: float) -> LawPrediction:
    law = plan.law
    f1 = law.f1(ratio)
    low, high, bound = _band(plan, law, ratio)
    return LawPrediction(
        name=law.name,
        source=law.source,
        samples_per_parameter=ratio,
        f1=f1,
        f1_low=low,
        f1_high=high,
        auc=auc_from_f1(f1),
        auc_low=auc_from_f1(low),
        auc_high=auc_from_f1(high),
        in_range=_is_comparable(plan) and law.in_range(ratio),
        band=law.band.source,
        bound=bound,
    )


def _by_reference_law(plan: Plan, ratio: float) -> AttackPrediction:
    law = plan.reference_law
    f1 = law.f1(ratio)
    low, high, bound = _band(plan, law, ratio)
    return AttackPrediction(
        f1=f1,
        f1_low=low,
        f1_high=high,
        auc=auc_from_f1(f1),
        auc_low=auc_from_f1(low),
        auc_high=auc_from_f1(high),
        source=f"{law.source}; band: {law.band.source}",
        bound=bound,
    )


def _repeated(plan: Plan, trained: int) -> RepeatedText | None:
    """Take the law where a text that stands in the data once is as frequent as this one."""
    if plan.copies is None or plan.tokens is None:
        return None
    total = plan.tokens + (plan.copies - 1) * plan.sample_tokens
    ratio = total / plan.copies / LAW_SAMPLE_TOKENS / trained
    f1 = plan.law.f1(ratio)
    return RepeatedText(
        copies=plan.copies,
        total_tokens=total,
        share_of_tokens=plan.copies * plan.sample_tokens / total,
        samples_per_parameter=ratio,
        f1=f1,
        auc=auc_from_f1(f1),
        reference_auc=auc_from_f1(plan.reference_law.f1(ratio)),
        source=f"{BY_FREQUENCY}; a text that is not seen again is forgotten, so one that comes late is at more risk "
        "and an early one at less than this says: neither law knows the order",
    )


def _of_measurements(plan: Plan) -> tuple[str, ...]:
    """Repeat what the measurements of the constants warned of, each warning once."""
    return tuple(dict.fromkeys((*plan.capacity.warnings, *plan.law.warnings, *plan.reference_law.warnings)))


def _warnings(plan: Plan, law: LawPrediction, ceiling: Ceiling) -> list[str]:
    """Say what is extrapolated and what was assumed."""
    found = []
    ratio = law.samples_per_parameter
    if not plan.law.in_range(ratio):
        side = "above" if ratio > plan.law.fitted_to else "below"
        found.append(
            f"extrapolation: {ratio:.4g} 64-token samples per parameter lie {side} the range that the law was fitted "
            f"on ({plan.law.fitted_from:g} to {plan.law.fitted_to:g}); F1 falls with more data, "
            f"{'towards a coin flip' if side == 'above' else 'so the figures are lower limits'}"
        )
    trained = plan.trainable_params or plan.params
    if trained is not None and not plan.law.fits_size(trained):
        found.append(
            f"extrapolation: the law was calibrated on models of {plan.law.smallest_params:,} to "
            f"{plan.law.largest_params:,} parameters, {trained:,} are more than ten times away"
        )
    if plan.sample_tokens != LAW_SAMPLE_TOKENS:
        found.append(
            f"extrapolation: the law was fitted on 64-token samples; samples of {plan.sample_tokens:,.4g} tokens are "
            "counted as tokens / 64. An attacker who holds a longer text has more to go by than the law says"
        )
    if plan.trainable_params is not None and plan.trainable_params != plan.params:
        found.append(
            f"extrapolation: only {plan.trainable_params:,} of the parameters are trained. Law and capacity are "
            f"applied to these; {_of_adapters(plan)}"
        )
    elif plan.capacity.lora_rank is not None:
        found.append(
            f"the bits per parameter are those of a LoRA of rank {plan.capacity.lora_rank}, for each trained "
            "parameter, but all parameters of this plan are trained: give --trainable, or a capacity without --lora"
        )
    if plan.fine_tuning:
        found.append(
            "extrapolation: fine-tuning. The law was fitted on models trained from scratch; a trained model codes the "
            "new data in fewer bits from the start, so less of the capacity is needed for what all samples share"
        )
        found.append(EARLY)
    if _has_few_epochs(plan):
        found.append(
            f"extrapolation: {plan.epochs:g} epochs. The law was fitted on models trained until they held what they "
            "could (hundreds of epochs and more); after fewer attacks do worse, so the figures are upper limits"
        )
    if plan.dataset_bits is None and plan.bits_per_token is None:
        found.append(
            "the information in the data set is not known (bits per token would give it): memorised bits are an upper "
            "limit, the capacity or as much as the tokens can hold"
        )
    if law.f1 < 0.55:
        found.append(
            "a predicted coin flip is no guarantee: the law describes the average text under the loss attack. Rare "
            "or repeated texts, reference models and many shadow models do better (Hayes et al. 2025 report AUC of "
            "0.6 to 0.7 for compute-optimal models)"
        )
    if law.bound == "at most" and law.auc_high > 0.99:
        found.append("the upper limit of the attacks excludes nothing here: what they achieve is to be measured")
    if ceiling.auc > 0.999:
        found.append(
            f"the ceiling excludes nothing here: {ceiling.bits_per_sample:.3g} bits per sample are enough to recognise "
            "every sample"
        )
    return found
