"""The result: the frozen, versioned document of one audit. The order of the fields is the file format."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, Literal

from .canaries import CanaryResult
from .epsilon import EpsilonResult
from .estimate import CountAtFpr, Estimate, Histogram, RocCurve, TprAtFpr
from .extraction import ExtractionResult
from .files import document
from .prediction import PredictionBesideMeasurement

__all__ = [
    *("GRADES", "SCHEMA_VERSION", "VERDICTS", "AttackResult", "AuditResult", "CalibrationBin", "CalibrationResult"),
    *("CheckResult", "CombinationResult", "DataResult", "Finding", "FoldChoice", "Grade", "GradeResult"),
    "MemorizationResult",
    *("ModelProvenance", "Provenance", "RetrainedAttack", "RetrainedResult", "RiskBreakdown", "RiskGroup"),
    *("RiskResult", "SelectionResult", "SideData", "SoundnessResult", "StabilityResult", "StandOutResult"),
    *("TailResult", "TopSample", "Verdict", "worst_verdict"),
]

SCHEMA_VERSION = "1.6"

Verdict = Literal["pass", "warn", "veto"]
VERDICTS: tuple[Verdict, ...] = ("pass", "warn", "veto")
"""Verdicts of checks, the worst last."""


def worst_verdict(verdicts: Iterable[Verdict]) -> Verdict | None:
    """Return the worst of the verdicts of checks; None if there are none."""
    return max(verdicts, key=VERDICTS.index, default=None)


@document
class AttackResult:
    """One attack on one target: how well its score separates members from non-members.

    ``auc`` and the other estimates are undefined, with the reason, if there are no non-members.
    ``inverted`` is True if the whole interval of the AUC lies below 0.5: the score is never flipped.
    """

    attack: str
    """Label of the attack, with its parameters."""
    name: str
    """Registered name of the attack."""
    summary: str
    """What the score looks at, in one sentence."""
    params: Mapping[str, Any]
    """Parameters of the attack."""
    paper: str
    """Paper that the attack is from."""
    needs: tuple[str, ...]
    """What the attack needs besides the target's token scores."""
    auc: Estimate
    """Area under the ROC curve, ties counted half; undefined without non-members."""
    advantage: Estimate
    """Largest true-positive minus false-positive rate over all thresholds."""
    tpr_at_fpr: tuple[TprAtFpr, ...]
    """True-positive rates at the configured false-positive rates."""
    f1_equal_error: Estimate
    """F1 at the threshold where both error rates are equal."""
    inverted: bool
    """Whether the whole interval of the AUC lies below 0.5; the score is never flipped."""
    roc: RocCurve | None
    """Operating points; null without non-members."""
    epsilon_lower_bound: Estimate | None = None
    """Lower bound of a privacy loss epsilon; null if it was not asked for."""
    p_value: float | None = None
    """One-sided p-value of an AUC of at most one half; null without non-members."""
    p_value_holm: float | None = None
    """The p-value adjusted by Holm over all attacks; null without non-members."""
    auc_residualised: Estimate | None = None
    """AUC of the part of the score that neither looks nor length of the texts explain; null if unknown."""
    auc_within_strata: Estimate | None = None
    """AUC among texts of about equal length; null if unknown."""

    def contradictions(self) -> Iterator[str]:
        """Say which figures cannot be, or disagree."""
        yield from _beyond_shares(("AUC", self.auc), *_rates(self))
        rates = [rate.fpr for rate in self.tpr_at_fpr]
        if len(set(rates)) < len(rates):
            yield "a false-positive rate stands twice"
        if self.inverted != (self.auc.high is not None and self.auc.high < 0.5):
            yield f"inverted is {str(self.inverted).lower()}, which its AUC does not say"


@document
class FoldChoice:
    """An attack that folds of the texts chose as the best one."""

    attack: str
    """Label of the attack that was chosen."""
    n_folds: int
    """Number of folds that chose it."""


@document
class SelectionResult:
    """What choosing among attacks costs."""

    headline: str
    """Label of the attack that was declared before looking."""
    declared_by: Literal["config", "default"]
    """Whether the configuration or the default declared the headline attack."""
    n_attacks: int
    """Attacks that were measured, over which p-values are adjusted (Holm)."""
    best_auc: Estimate
    """AUC of the attack that was best on the other folds: choosing, without the optimism of a maximum."""
    chosen: tuple[FoldChoice, ...]
    """Which attacks the folds chose, the most frequent first."""


@document
class CalibrationBin:
    """Samples whose stated probability of membership lies in one bin: how many of them are members?"""

    low: float
    """Lower end of the bin, a probability."""
    high: float
    """Upper end of the bin, a probability."""
    mean_stated: float
    """Mean of the stated probabilities in the bin."""
    observed: Estimate
    """Share of members among the samples of the bin, both sides weighing the same."""


@document
class CalibrationResult:
    """Whether stated probabilities of membership can be taken at their word, at equal prior odds."""

    bins: tuple[CalibrationBin, ...]
    """Bins of stated probabilities."""
    brier: Estimate
    """Mean squared error of the stated probabilities, both sides weighing the same; 0.25 says nothing."""
    calibration_error: float
    """Mean distance of stated and observed over the bins, weighted by their samples."""
    calibrated: bool
    """Whether no bin lies further from the diagonal than chance allows, for all bins together."""


@document
class CombinationResult:
    """All attacks together: a classifier trained on their scores, texts scored by folds that did not train on them."""

    features: tuple[str, ...]
    """Labels of the attacks whose scores go in."""
    method: str
    """Classifier that combines the scores."""
    n_folds: int
    """Number of folds."""
    auc: Estimate
    """AUC of the out-of-fold scores."""
    tpr_at_fpr: tuple[TprAtFpr, ...]
    """True-positive rates of the out-of-fold scores at the configured false-positive rates."""
    gain: Estimate
    """AUC of the combination minus that of the best single attack of the other folds, paired by text."""
    calibration: CalibrationResult | None
    """Calibration of the out-of-fold probabilities; null if undefined."""


@document
class RiskGroup:
    """The members of one group, length, rarity, script or number of copies.

    ``auc`` is of the headline attack, these members against all non-members (of the same length, rarity or script,
    where that is what tells the groups apart); ``posterior`` their mean probability of membership.
    """

    label: str
    """Label of the group."""
    n_members: int
    """Number of members of the group."""
    mean_bits: Estimate | None
    """Mean signed bits of these members; null without a reference."""
    auc: Estimate
    """AUC of the headline attack, these members against the non-members of their kind."""
    posterior: Estimate
    """Mean probability of membership of these members."""


@document
class RiskBreakdown:
    """How the risk differs along one property of the members.

    ``p_value`` is that of equal risk in all groups (Kruskal-Wallis of the headline score), Holm-adjusted over the
    breakdowns; None if it cannot be told, with ``undefined_reason``.
    """

    by: Literal["group", "length", "rarity", "script", "copies"]
    """Property that the members are grouped by."""
    unit: str
    """Unit of the property."""
    groups: tuple[RiskGroup, ...]
    """Groups of members, with their risk."""
    p_value: float | None
    """p-value of equal risk in all groups (Kruskal-Wallis), adjusted by Holm; null if it cannot be told."""
    n_groups_left_out: int = 0
    """Number of groups that are not listed alone, most of them too small; they are one group together."""
    pooled: tuple[str, ...] = ()
    """The first of these groups, the largest first."""
    undefined_reason: str | None = None
    """Why equal risk could not be tested; null if it was."""


@document
class TailResult:
    """The worst members by bits: the mean of the most memorized share, with its interval.

    ``quantile_bits`` is the bits that this share of the members exceeds.
    """

    share: float
    """Share of the members, the most memorized ones."""
    mean_bits: Estimate
    """Mean signed bits of this share."""
    quantile_bits: Estimate
    """Signed bits that this share of the members exceeds."""


@document
class StandOutResult:
    """How many of the audited members stand out from the non-members, each with what chance and thresholds allow."""

    n_beyond_every_non_member: Estimate
    """Members above the highest non-member by the headline attack; the low end leaves out what chance explains."""
    threshold_bits: float
    """Signed bits that count as held for certain."""
    n_above_bits: Estimate | None
    """Members with more bits than that; the low end leaves out as many as non-members explain; null without bits."""
    n_identified: tuple[CountAtFpr, ...]
    """Members identified at each false-positive rate by the headline attack; intervals hold the threshold's error."""


@document
class StabilityResult:
    """Whether other references would name the same members as most at risk.

    ``rank_correlation`` is Spearman's, of the members' bits, and ``same_worst`` the share of the worst ones in common;
    both means over pairs of references, lowest and highest pair as the ends.
    """

    n_references: int
    """Number of references that were compared."""
    rank_correlation: float
    """Spearman's correlation of the members' bits, mean over pairs of references."""
    rank_correlation_lowest: float
    """The lowest correlation of a pair."""
    worst_share: float
    """Share of the members that counts as the worst ones."""
    same_worst: float
    """Share of the worst members in common, mean over pairs of references."""
    same_worst_lowest: float
    """The lowest share in common of a pair."""


@document
class RiskResult:
    """Who is at risk: per-sample probabilities, the tail, and where the risk is concentrated.

    ``posterior_attack`` is the attack whose score became a probability of membership, at equal prior odds;
    ``members_above`` counts members beyond a probability of 0.9, ``non_members_above`` the false alarms there.
    """

    posterior_attack: str
    """Attack whose score became a probability of membership, at equal prior odds."""
    calibration: CalibrationResult | None
    """Calibration of these probabilities; null if undefined."""
    members_above: int | None
    """Number of members beyond a probability of 0.9; null if undefined."""
    non_members_above: int | None
    """Number of false alarms there; null if undefined."""
    tails: tuple[TailResult, ...]
    """The worst members by bits."""
    breakdowns: tuple[RiskBreakdown, ...]
    """Risk along single properties of the members."""
    stability: StabilityResult | None
    """Whether other references name the same members; null with fewer than two references."""
    undefined_reason: str | None = None
    """Why there are no probabilities; null if there are."""
    stand_out: StandOutResult | None = None
    """Members who stand out, counted; null in files of older auditors."""
    rarity_correlation: Estimate | None = None
    """Spearman's correlation of rarity of words and signed bits, of members with bits above 0; null without bits."""


Grade = Literal["none", "weak", "moderate", "strong", "near-perfect"]
GRADES: tuple[Grade, ...] = ("none", "weak", "moderate", "strong", "near-perfect")
"""Strengths of a signal, the worst last."""


@document
class GradeResult:
    """How strong the signal is: the worse of what holds of the average member and of those who stand out."""

    average: Grade | None
    """By the low end of the headline attack's AUC; null if it is undefined or inverted."""
    tail: Grade | None
    """By the members who stand out beyond what chance explains; null if they were not counted."""
    overall: Grade | None
    """The worse of both; null if neither is known."""

    def contradictions(self) -> Iterator[str]:
        """Say if the grade overall is not the worse of both."""
        worse = max((one for one in (self.average, self.tail) if one is not None), key=GRADES.index, default=None)
        if self.overall != worse:
            yield f"the grade is {self.overall}, and the worse of average and tail {worse}"


Finding = Literal["residual", "over_erased", "indistinguishable", "undecided"]


@document
class RetrainedAttack:
    """One attack on the target beside the same attack on a model that never saw the members.

    ``change`` is the target's AUC minus the retrained model's, paired by text; both directions are findings.
    """

    attack: str
    """Label of the attack, with its parameters."""
    target_auc: Estimate
    """AUC of the attack on the target."""
    retrained_auc: Estimate
    """AUC of the attack on the retrained model."""
    change: Estimate
    """AUC on the target minus that on the retrained model, paired by text."""
    p_value: float | None
    """Two-sided p-value of no change or no difference; null if undefined."""
    p_value_holm: float | None
    """The p-value adjusted by Holm's method over all of its family; null if undefined."""
    finding: Finding
    """What the change says, once corrected for all attacks."""


@document
class RetrainedResult:
    """Does the target differ from a model retrained without the members, in either direction?

    ``margin`` is the change of AUC below which the two count as the same: ``indistinguishable`` means that the whole
    interval of the change lies within it, ``undecided`` that it does not, and that no change holds
    either once corrected for all attacks.
    """

    path: str
    """Path of the retrained model as it was given."""
    weights_sha256: str
    """SHA-256 fingerprint of the weights."""
    margin: float
    """Change of AUC below which the two models count as the same."""
    finding: Finding
    """Finding of the headline attack, or of the surest one that found something."""
    net_bits_per_member: Estimate
    """Bits of a member less those of a non-member, target against the retrained model."""
    attacks: tuple[RetrainedAttack, ...]
    """Every attack on both models."""


@document
class TopSample:
    """One of the most memorized samples. ``text`` stays None unless the user asked for texts."""

    sample_id: str
    """Id of the sample."""
    text_sha256: str
    """SHA-256 of the text, UTF-8."""
    is_member: bool
    """Whether the sample is a member."""
    n_tokens: int
    """Number of scored tokens."""
    signed_bits: float
    """Bits that the target saves on the text beyond the reference."""
    memorized_bits: float
    """Signed bits, or 0 if they are negative."""
    text: str | None = None
    """The text, only if texts were asked for; else null."""
    group: str | None = None
    """Unit that the sample comes from, if the data named one."""
    n_copies: int | None = None
    """Times that it stood in the training set, as far as known."""
    posterior: float | None = None
    """Probability of membership at equal prior odds; null without probabilities."""
    bits_by_position: tuple[int, ...] | None = None
    """Signed bits of equal parts of the scored tokens, in whole bits; null where tokens cannot be compared."""
    pieces: tuple[str, ...] | None = None
    """The scored text piece by piece, of a long one the run with most bits, only if texts were asked for."""
    piece_bits: tuple[float, ...] | None = None
    """Signed bits of each piece, only if texts were asked for."""
    tokens_before: int | None = None
    """Scored tokens before the first piece, only if texts were asked for."""
    tokens_after: int | None = None
    """Scored tokens after the last piece, only if texts were asked for."""
    tokens_undefined_reason: str | None = None
    """Why there are no bits by position: the models cut texts at different places; null where there are some."""


@document
class MemorizationResult:
    """Dataset-level estimates of unintended memorization, in bits.

    Bits are signed per sample, ``log2 p(text | target) - log2 p(text | reference)``; clipped means
    ``max(0, signed)``. Every interval covers the sampling of texts, not of training runs.

    Of ``information_lower_bound_per_member``, ``low`` is the certified figure, ``value`` the same expression
    without a guarantee and ``high`` the resolution of the method, not an upper limit. It is of members on average,
    never of each.

    ``calibrated`` is False without non-members: then ``clipped_total_bits`` is the paper's sum alone, an
    uncalibrated upper figure, because noise and domain adaptation are rectified into it.
    """

    calibrated: bool
    """Whether there are non-members; without them clipped bits are an uncalibrated upper figure."""
    n_references: int
    """Number of references, of which a mixture is the code that bits are compared with."""
    mean_bits_members: Estimate
    """Mean signed bits of a member."""
    mean_bits_non_members: Estimate
    """Mean signed bits of a non-member."""
    clipped_bits_per_member: Estimate
    """Mean of max(0, signed bits) of a member."""
    clipped_bits_per_non_member: Estimate
    """Mean of max(0, signed bits) of a non-member."""
    debiased_bits_per_member: Estimate
    """Clipped bits of a member less those of a non-member."""
    net_bits_per_member: Estimate
    """Signed bits of a member less those of a non-member."""
    information_lower_bound_per_member: Estimate
    """Bits of an average member where the sides are exchangeable: low certified, value plug-in, high the resolution."""
    clipped_total_bits: Estimate
    """Clipped bits of all members together."""
    debiased_total_bits: Estimate
    """Debiased bits of all members together."""
    bits_per_token: Estimate
    """Debiased bits of a scored token of a member; without non-members clipped and uncalibrated."""
    bits_per_byte: Estimate
    """Debiased bits of a scored byte of a member; without non-members clipped and uncalibrated."""
    bits_per_parameter: float
    """Bits that a parameter can hold."""
    bits_per_parameter_source: str
    """Where the bits per parameter come from."""
    n_parameters: int
    """Number of parameters, tied ones once."""
    capacity_bits: float
    """Bits that the model can hold in all."""
    capacity_used: Estimate
    """Debiased total bits as a share of the capacity."""
    auc_from_bits: Estimate
    """AUC that the separation of the bits implies."""
    auc_from_bits_assumption: str
    """Assumption under which the bits imply it."""
    signed_bits_histogram: Histogram
    """Histogram of the signed bits of both sides."""
    top_samples: tuple[TopSample, ...]
    """The most memorized samples."""
    uniform_bits_per_member: Estimate | None = None
    """Code length of a member where nothing is known, its tokens times log2 of the vocabulary; null in older files."""
    saved_bits_per_member: Estimate | None = None
    """Bits that the target saves on a member beyond that: the paper's total memorization; null in older files."""
    generalization_bits_per_member: Estimate | None = None
    """Bits of these that the reference saves too: saved bits less clipped bits; null in older files."""
    generalization_bits_per_non_member: Estimate | None = None
    """Bits that target and reference both save on a non-member; null in older files."""
    saved_total_bits: Estimate | None = None
    """Saved bits of all members together; null in older files."""
    generalization_total_bits: Estimate | None = None
    """Generalization bits of all members together, what texts share counted for each; null in older files."""
    generalization_share: Estimate | None = None
    """Generalization bits as a share of the saved bits; null in older files."""
    lzma_bits_per_member: Estimate | None = None
    """Code length of a member by itself under LZMA, which was trained on nothing either; null in older files."""
    generalization_beyond_lzma_bits_per_member: Estimate | None = None
    """Bits that target and reference both save on a member beyond LZMA; null in older files."""
    n_beyond_every_non_member: Estimate | None = None
    """Members above the highest non-member by the headline attack, as in risk.stand_out; null in older files."""
    n_above_bits: Estimate | None = None
    """Members with more bits than risk.stand_out.threshold_bits, as counted there; null in older files."""

    def contradictions(self) -> Iterator[str]:
        """Say how the most memorized samples disagree with themselves."""
        ids = [one.sample_id for one in self.top_samples]
        if len(set(ids)) < len(ids):
            yield "one of the most memorized samples stands twice"
        if any(len(one.pieces or ()) != len(one.piece_bits or ()) for one in self.top_samples):
            yield "one of the most memorized samples has pieces without bits"


@document
class CheckResult:
    """One soundness check: may the numbers be believed?

    ``sample_ids`` are the samples to drop so that the check passes, where dropping some would do.
    """

    name: str
    """Name of the check."""
    verdict: Verdict
    """Verdict of the check: pass, warn, or veto, which forbids a verdict on the audit."""
    figure: float | None
    """Figure that the check looks at; null if there is none."""
    unit: str
    """Unit of the figure."""
    detail: str
    """What was found, in words."""
    remedy: str | None = None
    """What to do about it; null if nothing."""
    sample_ids: tuple[str, ...] = ()
    """Samples to drop so that the check passes, where dropping some would do."""
    detectable_share: float | None = None
    """Share of foreign texts among the members that the blind baseline finds 4 times in 5; null if unknown or none."""


@document
class SoundnessResult:
    """All checks; the verdict is the worst of them."""

    verdict: Verdict
    """The worst verdict of all checks."""
    checks: tuple[CheckResult, ...]
    """Every check, the worst first."""


@document
class SideData:
    """The texts of one side, and what was done to them."""

    path: str
    """Path or id as it was given."""
    n_samples: int
    """Number of samples of the side."""
    n_groups: int | None
    """Number of groups that the data named; null if it named none."""
    n_bytes: int
    """Number of UTF-8 bytes of the scored text."""
    n_tokens: int
    """Number of scored tokens."""
    sha256: str
    """SHA-256 of ids and texts of the side, in order."""
    n_cut: int
    """Number of texts that were cut to fit."""
    n_bytes_cut: int
    """Number of bytes that cutting left unread."""
    n_windowed: int
    """Number of texts that were scored in several windows."""
    n_repeated: int
    """Number of samples whose text, as scored, occurs more than once."""
    n_dropped: int = 0
    """Number of samples left out by a drop list."""
    n_turns: int | None = None
    """Number of completions (turns of the assistant) in conversations; null for plain texts."""
    n_tool_calls: int | None = None
    """Number of tool calls in conversations; null for plain texts."""
    notes: tuple[str, ...] = ()
    """Remarks on what was left out or done on the way."""


@document
class DataResult:
    """The texts behind the audit."""

    members: SideData
    """The members' side."""
    non_members: SideData | None
    """The non-members' side; null without one."""
    window_tokens: int | None
    """Most tokens of a text that were scored; null without a limit."""
    long_texts: str
    """What was done to texts that do not fit: cut, or stride."""
    form: str = "text"
    """Form of the texts: text, messages, conversations, prompt_completion or prompt_completion_messages."""
    score: str = "all"
    """Which tokens were scored: all, or those of the completion."""
    end_marks_scored: bool | None = None
    """Whether the marks of a chat template that end a scored turn were scored; null for plain texts."""


@document
class ModelProvenance:
    """Which model scored, and how."""

    role: Literal["target", "reference", "shadow"]
    """What the model was for."""
    path: str
    """Path or id as it was given."""
    revision: str | None
    """Revision of a hub model; null for a folder."""
    adapter: str | None
    """Folder of the PEFT adapter; null without one."""
    weights_sha256: str
    """SHA-256 fingerprint of the weights."""
    tokenizer_sha256: str
    """SHA-256 fingerprint of the tokenizer."""
    architecture: str
    """Class of the model."""
    n_parameters: int
    """Number of parameters, tied ones once."""
    n_vocabulary: int
    """Number of entries of the vocabulary."""
    stored_dtype: str
    """Precision of the stored weights."""
    dtype: str
    """Precision of the computation."""
    device: str
    """Device that it ran on."""
    context_window: int | None
    """Most tokens that the model reads at once; null if unlimited."""
    prefix_token_ids: tuple[int, ...]
    """Tokens that stand before every text."""
    prefix_rule: str
    """Rule that chose these tokens."""
    scoring_path: str
    """How batches were laid out: packed, padded, or one text at a time."""
    tokenizer: str | None = None
    """Tokenizer that was asked for in place of the model's own; null if none was."""
    tokenizer_of: Literal["model", "adapter", "option"] | None = None
    """Whose tokenizer read the texts: the model's, its adapter's, or the one that was asked for; null if unknown."""
    tokenizer_class: str | None = None
    """Class that read the texts."""
    tokenizer_file_class: str | None = None
    """Class that the files of the tokenizer name; null if they name none."""
    n_read_otherwise: int | None = None
    """Number of texts that it reads otherwise than its tokenizer.json says; null without such a file."""
    chat_template_sha256: str | None = None
    """SHA-256 of the chat template that it read conversations with; null without one."""


@document
class Provenance:
    """What is needed to run the audit again and to trust that this is what was run.

    ``samples_sha256`` is of the bytes of ``samples.parquet``, None if none was written; ``pack_sha256`` of the file of
    `auditor pack` that texts and reference scores came from, None if they did not.
    """

    auditor_version: str
    """Version of the auditor that wrote the document."""
    scoring_version: int
    """Version of the scoring; scores of another one are not reused."""
    packages: Mapping[str, str]
    """Versions of the packages that it was made with."""
    python: str
    """Version of Python."""
    platform: str
    """Operating system and processor."""
    started_at: str
    """Time of the start, ISO, UTC."""
    seconds: float
    """Wall time of the audit in seconds."""
    n_tokens_scored: int
    """Number of tokens that models were run on."""
    n_tokens_reused: int
    """Number of tokens whose scores were in the store."""
    scoring_seconds: float
    """Wall time in seconds that scoring took."""
    models: tuple[ModelProvenance, ...]
    """Models that were run, the target first."""
    samples_sha256: str | None = None
    """SHA-256 of the bytes of samples.parquet; null if none was written."""
    pack_sha256: str | None = None
    """SHA-256 of the pack that texts and reference scores came from; null if they did not."""
    salt: str | None = None
    """Name of the salt that hashes of texts are keyed with (HMAC-SHA256 of the SHA-256); null if they are plain."""


@document
class AuditResult:
    """The whole audit: one document, written as ``result.json``. A part that was not run is None."""

    schema_version: str = SCHEMA_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    provenance: Provenance
    """What is needed to run the audit again."""
    config: Mapping[str, Any]
    """Configuration of the audit."""
    data: DataResult
    """Texts behind the audit."""
    soundness: SoundnessResult | None
    """Checks of whether the numbers may be believed; null if there were none."""
    memorization: MemorizationResult | None
    """Bits of unintended memorization; null without a reference."""
    attacks: tuple[AttackResult, ...]
    """Every attack that was run."""
    selection: SelectionResult | None = None
    """The declared attack, and what choosing the best one is worth; null if no attack was run."""
    combination: CombinationResult | None = None
    """All attacks together; null with one attack or too few texts."""
    risk: RiskResult | None = None
    """Who is at risk; null if it was not assessed."""
    grade: GradeResult | None = None
    """Strength of the signal; null if a check forbids a verdict, and in files of older auditors."""
    retrained: RetrainedResult | None = None
    """The target beside a retrained model; null without one."""
    prediction: PredictionBesideMeasurement | None = None
    """Prediction beside measurement; null if no size of the training set was stated."""
    extraction: ExtractionResult | None = None
    """What can be drawn out of the target; null if it was not run."""
    canaries: CanaryResult | None = None
    """What the audit of canaries found; null if it was not run."""
    epsilon: EpsilonResult | None = None
    """Lower bound on epsilon from the coins that drew the sides; null if no coins did."""
    gates: tuple[Mapping[str, Any], ...] | None = None
    """Outcomes of gates; null if there were none."""
    warnings: tuple[str, ...] = field(default=())
    """Warnings to a reader of the figures."""

    def contradictions(self) -> Iterator[str]:
        """Say which parts that a reader relies on disagree."""
        yield from self._model_contradictions()
        yield from self._soundness_contradictions()
        labels = [one.attack for one in self.attacks]
        if len(set(labels)) < len(labels):
            yield "an attack stands twice"
        if self.selection is not None and self.selection.headline not in labels:
            yield f"the headline attack {self.selection.headline[:80]!a} is not among its attacks"
        if self.selection is not None and self.selection.n_attacks != len(labels):
            yield f"it selects among {self.selection.n_attacks} attacks and holds {len(labels)}"
        for one in self.attacks:
            yield from (f"attack {one.attack[:80]!a}: {said}" for said in one.contradictions())
        if self.combination is not None:
            yield from _beyond_shares(("AUC of the combination", self.combination.auc), *_rates(self.combination))
        if self.extraction is not None:
            yield from self.extraction.contradictions()
        if self.grade is not None:
            yield from self.grade.contradictions()
        if self.memorization is not None:
            yield from self.memorization.contradictions()
            if self.memorization.calibrated != (self.data.non_members is not None):
                yield "memorization.calibrated and data disagree on whether there are non-members"
            yield from self._count_contradictions(self.memorization)

    def _count_contradictions(self, memorization: MemorizationResult) -> Iterator[str]:
        counted = None if self.risk is None else self.risk.stand_out
        for name in ("n_beyond_every_non_member", "n_above_bits"):
            here = getattr(memorization, name)
            if here is not None and here != getattr(counted, name, None):
                yield f"memorization.{name} is not what risk.stand_out counts"

    def _model_contradictions(self) -> Iterator[str]:
        n_targets = sum(model.role == "target" for model in self.provenance.models)
        if n_targets != 1:
            yield f"it is the audit of one target, and names {n_targets}"

    def _soundness_contradictions(self) -> Iterator[str]:
        if self.soundness is None or not self.soundness.checks:
            return
        worst = worst_verdict(check.verdict for check in self.soundness.checks)
        if self.soundness.verdict != worst:
            yield f"soundness is {self.soundness.verdict}, and the worst of its checks {worst}"
        names = [check.name for check in self.soundness.checks]
        if len(set(names)) < len(names):
            yield "a soundness check stands twice"


def _rates(holder: AttackResult | CombinationResult) -> Iterator[tuple[str, Estimate]]:
    return ((f"TPR at an FPR of {rate.fpr:g}", rate) for rate in holder.tpr_at_fpr)


def _beyond_shares(*named: tuple[str, Estimate]) -> Iterator[str]:
    """Name estimates of a share that do not lie between 0 and 1."""
    for name, estimate in named:
        ends = estimate.low, estimate.high
        if any(end is not None and not 0 <= end <= 1 for end in ends):
            yield f"{name}: a share lies between 0 and 1, not from {ends[0]:g} to {ends[1]:g}"
