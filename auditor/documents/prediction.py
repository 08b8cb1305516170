"""The prediction of what a plan of training will leak: the document that ``auditor predict --json`` prints."""

from collections.abc import Iterator
from typing import Literal

from .files import document

__all__ = [
    "AttackPrediction",
    "Bound",
    "Ceiling",
    "Comparison",
    "Inverse",
    "LawPrediction",
    "Measure",
    "Prediction",
    "PredictionBesideMeasurement",
    "RepeatedText",
]

Bound = Literal["at most", "at least"]
Measure = Literal["auc", "f1", "bits", "share"]
"""Which end of a band holds where a plan lies outside what the law was fitted on, in a direction that is known."""


ROUNDING = 1e-9
"""How far equal amounts may lie apart, relative to them."""


@document
class LawPrediction:
    """What the loss attack is expected to achieve."""

    name: str
    """Name of the law."""
    source: str
    """Where the law's constants come from."""
    samples_per_parameter: float
    """The variable of the law: 64-token-equivalent samples per (trainable) parameter."""
    f1: float
    """F1 at equal error that the law expects of the loss attack; 0.5 is a coin flip."""
    f1_low: float
    """Lower end of the band in which measurements of F1 have fallen."""
    f1_high: float
    """Upper end of the band in which measurements of F1 have fallen."""
    auc: float
    """AUC that goes with this F1, by the equal-error map."""
    auc_low: float
    """AUC that goes with the lower end of the band of F1."""
    auc_high: float
    """AUC that goes with the upper end of the band of F1."""
    in_range: bool
    """Whether the plan lies in the range that the law was fitted on."""
    band: str
    """What the band rests on."""
    bound: Bound | None = None
    """Which end of the band is meant where the plan is extrapolated in a known direction; null if both are."""


@document
class AttackPrediction:
    """What an attack with a reference model is expected to achieve, with its band, and on whose word."""

    f1: float
    """F1 at equal error of the attack."""
    f1_low: float
    """Lower end of the band of F1."""
    f1_high: float
    """Upper end of the band of F1."""
    auc: float
    """Area under the ROC curve, ties counted half."""
    auc_low: float
    """Lower end of the band of the AUC."""
    auc_high: float
    """Upper end of the band of the AUC."""
    source: str
    """On whose word the expectation rests."""
    bound: Bound | None = None
    """Which end of the band is meant where the plan is extrapolated in a known direction; null if both are."""


@document
class Ceiling:
    """What no attack that sees a text and the model can exceed, on average over members and draws of the training set.

    It rests on the capacity. An attacker who knows other members can exceed it.
    """

    bits_per_sample: float
    """Most that the model can hold of an average sample."""
    advantage: float
    """Largest mean advantage of an attack that sees a text and the model only, if the capacity holds."""
    auc: float
    """Largest AUC that goes with this advantage."""


@document
class Inverse:
    """What would have to change for the law to predict a given F1."""

    f1: float
    """F1 that is asked for."""
    auc: float
    """AUC that is asked for."""
    samples_per_parameter: float
    """64-token-equivalent samples per parameter at which the law gives it."""
    tokens_needed: float | None
    """Least tokens of training data for the given parameters; null if the plan gives none."""
    samples_needed: float | None
    """Least samples of training data for the given parameters; null if the plan gives none."""
    params_at_most: int | None
    """Largest (trainable) parameter count for the given data; null if the plan gives none."""
    in_range: bool
    """Whether the law was fitted there."""


@document
class RepeatedText:
    """What the law says of a text that stands in the training set several times, by its share of all tokens.

    Read, not measured: that risk follows a text's frequency relative to the corpus is a finding of others.
    """

    copies: float
    """Times that the text stands in the training set, in one pass over it."""
    total_tokens: float
    """Tokens of the training set with the further copies."""
    share_of_tokens: float
    """Tokens of all copies as a share of these."""
    samples_per_parameter: float
    """The variable of the law at which a text that stands there once has the same share."""
    f1: float
    """F1 at equal error that the law gives there."""
    auc: float
    """AUC that goes with this F1."""
    reference_auc: float
    """AUC of an attack with a reference model there."""
    source: str
    """On whose word the frequency counts, and what it leaves out."""


@document
class Prediction:
    """The risk of a plan: parameters and data in, memorised bits, F1, AUC and a ceiling out."""

    params: int
    """All parameters, tied ones once."""
    trainable_params: int
    """Parameters that training changes; the law and the capacity count these."""
    samples: float
    """Samples of the training set, each counted once however many epochs there are."""
    tokens: float
    """Tokens of the training set, each counted once however many epochs there are."""
    sample_tokens: float
    """Tokens of a sample."""
    epochs: float | None
    """Passes over the data; null if not given."""
    samples_per_parameter: float
    """Samples per trainable parameter, as they are (the law's own variable is in law)."""
    tokens_per_parameter: float
    """Tokens per trainable parameter."""
    bits_per_parameter: float
    """Bits that a parameter can hold."""
    bits_per_parameter_source: str
    """Where the bits per parameter come from."""
    capacity_bits: float
    """Bits that the model can hold in all."""
    dataset_bits: float | None
    """Information in the training set; null if not known."""
    dataset_bits_source: str
    """Where it comes from, or why it is not known."""
    memorized_bits: float
    """The smallest of capacity, dataset bits (if known) and the most that the tokens of all samples can hold."""
    bits_per_sample: float
    """Memorized bits over the samples."""
    bits_per_sample_at_most: float | None = None
    """Most bits that the tokens of a sample can hold: their number times log2 of the vocabulary's size."""
    n_vocabulary: int | None = None
    """Entries of the vocabulary; null if not given, and the largest known one is taken."""
    law: LawPrediction
    """Law of the loss attack, and what it expects of this plan."""
    reference_attack: AttackPrediction
    """What an attack with a reference model is expected to achieve."""
    ceiling: Ceiling
    """Bounds that no attack exceeds on average over members, if the capacity holds."""
    inverse: Inverse | None
    """What would have to change for a given F1 or AUC; null if none was asked for."""
    repeated: RepeatedText | None = None
    """What the law says of a text that is repeated; null if no number of copies was given."""
    warnings: tuple[str, ...]
    """What makes this an extrapolation, and what was assumed."""

    def contradictions(self) -> Iterator[str]:
        """Say which sizes cannot be."""
        if self.trainable_params > self.params:
            yield f"{self.trainable_params} of {self.params} parameters are trained"
        if self.memorized_bits > self.capacity_bits * (1 + ROUNDING):
            yield f"{self.memorized_bits:.6g} bits are memorized, of {self.capacity_bits:.6g} that the model can hold"


@document
class Comparison:
    """One prediction beside what the audit measured."""

    quantity: str
    """What was predicted, such as ``loss attack, AUC``."""
    predicted: float
    """What was predicted."""
    predicted_low: float
    """Lower end of the band of the prediction; of a ceiling, the least possible value."""
    predicted_high: float
    """Upper end of the band of the prediction, or the ceiling."""
    measured: float | None
    """What was measured; null if it is undefined."""
    measured_low: float | None
    """Lower end of its interval; null if it is undefined."""
    measured_high: float | None
    """Upper end of its interval; null if it is undefined."""
    agrees: bool | None
    """Whether band and interval overlap, or the ceiling is not exceeded; null if nothing was measured."""
    bound: Bound | None = None
    """Which end of the band is meant where the prediction is one-sided; null if both are."""
    measure: Measure | None = None
    """What kind of number it is, and so how it is written; null in files of older auditors, which say it in words."""
    is_ceiling: bool | None = None
    """Whether the upper end is a ceiling, which is no prediction; null in files of older auditors."""
    meaning: str
    """What the agreement or the disagreement says, or why nothing was measured."""


@document
class PredictionBesideMeasurement:
    """What the size of model and training set let expect, set beside what the audit found."""

    prediction: Prediction
    """What the sizes of model and training set let expect."""
    comparisons: tuple[Comparison, ...]
    """Each predicted quantity beside the measured one."""
    summary: str
    """Whether size explains what was found, in a few sentences."""
