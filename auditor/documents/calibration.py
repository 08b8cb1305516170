"""The calibration document: the membership law on one's own text, fitted to a sweep of small trainings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from .estimate import Estimate
from .files import document, read_document

__all__ = ["AttackCalibration", "Calibration", "CalibrationCell", "TrainingEffect", "read_calibration"]


@document
class CalibrationCell:
    """One model trained on one number of samples of real text, and how well two attacks tell them from others."""

    params: int
    """Number of parameters."""
    n_samples: int
    """Number of samples."""
    samples_per_parameter: float
    """Samples in 64-token equivalents per parameter."""
    steps: int
    """Number of training steps."""
    epochs: float
    """Passes over the samples in training the target."""
    learning_rate: float
    """Largest learning rate of the training."""
    seed: int
    """Seed of the random draws."""
    member_bits_per_token: float
    """Mean code length of members under the target, bits per token."""
    non_member_bits_per_token: float
    """Mean code length of held-out samples under the target, bits per token."""
    reference_bits_per_token: float
    """Mean code length of held-out samples under the reference, bits per token."""
    loss_f1: Estimate
    """F1 at equal error of the loss attack."""
    loss_auc: Estimate
    """AUC of the loss attack."""
    reference_f1: Estimate
    """F1 at equal error of the attack with a reference of the same size."""
    reference_auc: Estimate
    """AUC of the attack with a reference of the same size."""
    dataset_bits: float | None = None
    """Information in the members: their code length under the reference, an upper limit; null in older files."""
    memorized_bits: Estimate | None = None
    """Unintended bits of all members, less what as many held-out samples give; null in older files."""
    clipped_bits: float | None = None
    """The paper's sum of max(0, bits) over the members, noise and all; null in older files."""
    memorized_bits_by_largest: Estimate | None = None
    """Unintended bits beside the largest reference instead; null in older files."""
    memorized_bits_by_whole: Estimate | None = None
    """Unintended bits beside a reference of the same size on all texts, the members among them; null if not trained."""
    rarity_correlation: Estimate | None = None
    """Spearman's correlation of bits and rarity of words, of members with bits above 0; null in older files."""
    guessed_members: Estimate | None = None
    """Share of the tokens of members' second halves that are the likeliest ones; null in older files."""
    guessed_non_members: Estimate | None = None
    """Share of the tokens of held-out samples' second halves that are the likeliest ones; null in older files."""
    saved_bits: float | None = None
    """Bits that the target saves on the members beyond a uniform code; null in older files."""
    generalization_bits: float | None = None
    """Bits of these that the reference saves too; null in older files."""
    recited_members: Estimate | None = None
    """Share of the members whose second half is recited, greedily, given the first; null in older files."""
    recited_non_members: Estimate | None = None
    """Share of the held-out samples whose second half is recited, given the first; null in older files."""


@document
class AttackCalibration:
    """The law of one attack, fitted to the cells of a sweep."""

    attack: Literal["loss", "reference"]
    """Attack that the law is of."""
    form: Literal["probit", "scaled"]
    """Form: F1 = Phi(d'/2) with d' a power of x (probit), or the paper's law at a scaled x."""
    amplitude: float | None
    """Amplitude of the probit form; null for the other."""
    exponent: float | None
    """Exponent of the probit form; null for the other."""
    scale: float | None
    """Scale of the scaled form; null for the other."""
    rmse: float
    """Root mean square error of F1 over the cells it was fitted to."""
    largest_error: float
    """Largest error of F1 over the cells it was fitted to."""
    held_out_size_rmse: float | None
    """Root mean square error on the cells of a size left out of the fit; null with one size."""
    paper_rmse: float
    """Root mean square error of the paper's law, not fitted, on the same cells."""
    fitted_from: float
    """Fewest samples per parameter of the cells."""
    fitted_to: float
    """Most samples per parameter of the cells."""
    n_cells: int
    """Number of cells."""
    n_sizes: int
    """Number of model sizes."""


@document
class TrainingEffect:
    """What training longer changes: one cell again, with more steps."""

    short: CalibrationCell
    """The cell at the usual number of steps."""
    long: CalibrationCell
    """The same cell with more steps."""


@document
class Calibration:
    """The membership law on one's own architecture, tokenizer and text, and the cells behind it."""

    kind: Literal["calibration"] = "calibration"
    """Kind of the document."""
    schema_version: str = "1.4"
    """Version of this document's schema, MAJOR.MINOR."""
    data: str
    """Text that it was measured on."""
    tokenizer: str
    """Tokenizer that cut the text."""
    architecture: str
    """What was measured on."""
    n_vocabulary: int
    """Number of entries of the vocabulary."""
    sample_tokens: int
    """Number of tokens of a sample."""
    n_samples_held_out: int
    """Number of samples that serve as non-members."""
    n_samples_pool: int
    """Number of samples that members are drawn from."""
    n_samples_reference: int
    """Number of samples that the references trained on."""
    cells: tuple[CalibrationCell, ...]
    """Every trained model, with its attacks."""
    laws: tuple[AttackCalibration, ...]
    """Law of the loss attack, then of the reference attack."""
    training_effect: TrainingEffect | None
    """What training longer changes; null if it was not tried."""
    settings: Mapping[str, str]
    """Settings that it was made with."""
    packages: Mapping[str, str]
    """Versions of the packages that it was made with."""
    data_notes: tuple[str, ...]
    """What was cut, dropped or chosen on the way, with counts."""
    seconds: float
    """Wall time in seconds of all trainings, one after the other; side by side they took less."""
    cpu_seconds: float | None = None
    """CPU time of all trainings; null in older files."""
    warnings: tuple[str, ...] = ()
    """Warnings to a reader of the figures."""


def read_calibration(path: Path) -> Calibration:
    """Read what ``auditor calibrate`` wrote: the file, or its folder."""
    file = path / "calibration.json" if path.is_dir() else path
    return read_document(file, Calibration, version="1.4", what="calibration (`auditor calibrate`)")
