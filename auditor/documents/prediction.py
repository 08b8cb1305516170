"""What a plan of training will leak: the document that ``auditor predict --json`` prints."""

from dataclasses import dataclass

__all__ = [
    "AttackPrediction",
    "Ceiling",
    "Comparison",
    "Inverse",
    "LawPrediction",
    "Prediction",
    "PredictionBesideMeasurement",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class LawPrediction:
    """What the loss attack is expected to achieve.

    Parameters
    ----------
    name, source : str
        Of the law, and where its constants come from.
    samples_per_parameter : float
        The variable of the law: 64-token-equivalent samples per (trainable) parameter.
    f1, f1_low, f1_high : float
        F1 at equal error, and the band in which measurements have fallen; 0.5 is a coin flip.
    auc, auc_low, auc_high : float
        The same as an AUC, by the equal-error map.
    in_range : bool
        Whether the plan lies in the range that the law was fitted on.
    band : str
        What the band rests on.
    """

    name: str
    source: str
    samples_per_parameter: float
    f1: float
    f1_low: float
    f1_high: float
    auc: float
    auc_low: float
    auc_high: float
    in_range: bool
    band: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackPrediction:
    """What an attack with a reference model is expected to achieve, with its band, and on whose word."""

    f1: float
    f1_low: float
    f1_high: float
    auc: float
    auc_low: float
    auc_high: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What no attack can exceed on average over members, if the capacity holds.

    Parameters
    ----------
    bits_per_sample : float, bits
        Most that the model can hold of an average sample.
    advantage : float
        Largest mean ``tpr - fpr`` of any attack.
    auc : float
        Largest AUC that goes with this advantage.
    """

    bits_per_sample: float
    advantage: float
    auc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverse:
    """What would have to change for the law to predict a given F1.

    Parameters
    ----------
    f1, auc : float
        The target, as both.
    samples_per_parameter : float
        64-token-equivalent samples per parameter at which the law gives it.
    tokens_needed, samples_needed : float or None
        Smallest data for the given parameters; None if the plan gives no parameters.
    params_at_most : int or None
        Largest (trainable) parameter count for the given data; None if the plan gives no data.
    in_range : bool
        Whether the law was fitted there.
    """

    f1: float
    auc: float
    samples_per_parameter: float
    tokens_needed: float | None
    samples_needed: float | None
    params_at_most: int | None
    in_range: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The risk of a plan: parameters and data in, memorised bits, F1, AUC and a ceiling for any attack out.

    Parameters
    ----------
    params : int
        All parameters, tied ones once.
    trainable_params : int
        Those that training changes; the law and the capacity count these.
    samples, tokens : float
        Of the training set, each counted once however many epochs there are.
    sample_tokens : float
        Tokens of a sample.
    epochs : float or None
        Passes over the data, if given.
    samples_per_parameter, tokens_per_parameter : float
        Per trainable parameter, samples as they are (the law's own variable is in ``law``).
    bits_per_parameter : float, bits
    bits_per_parameter_source : str
    capacity_bits : float, bits
    dataset_bits : float or None, bits
        Information in the training set, if known.
    dataset_bits_source : str
        Where it comes from, or why it is not known.
    memorized_bits : float, bits
        ``min(capacity_bits, dataset_bits)``; the capacity, an upper limit, if the dataset's bits are unknown.
    bits_per_sample : float, bits
        ``memorized_bits / samples``.
    law : LawPrediction
    reference_attack : AttackPrediction
    ceiling : Ceiling
    inverse : Inverse or None
    warnings : tuple of str
        What makes this an extrapolation, and what was assumed.
    """

    params: int
    trainable_params: int
    samples: float
    tokens: float
    sample_tokens: float
    epochs: float | None
    samples_per_parameter: float
    tokens_per_parameter: float
    bits_per_parameter: float
    bits_per_parameter_source: str
    capacity_bits: float
    dataset_bits: float | None
    dataset_bits_source: str
    memorized_bits: float
    bits_per_sample: float
    law: LawPrediction
    reference_attack: AttackPrediction
    ceiling: Ceiling
    inverse: Inverse | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One prediction beside what the audit measured.

    Parameters
    ----------
    quantity : str
        What was predicted, such as ``loss attack, AUC``.
    predicted, predicted_low, predicted_high : float
        The band of the prediction; of a ceiling, from the least possible value to the ceiling.
    measured, measured_low, measured_high : float or None
        The estimate and its interval; None if it is undefined.
    agrees : bool or None
        Whether band and interval overlap, or the interval does not lie above the ceiling; None if nothing was measured.
    meaning : str
        What the agreement or the disagreement says, or why nothing was measured.
    """

    quantity: str
    predicted: float
    predicted_low: float
    predicted_high: float
    measured: float | None
    measured_low: float | None
    measured_high: float | None
    agrees: bool | None
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionBesideMeasurement:
    """What the size of model and training set let expect, set beside what the audit found."""

    prediction: Prediction
    comparisons: tuple[Comparison, ...]
    summary: str
