"""What comes out: the frozen, versioned document of one audit. The order of the fields is the file format."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .estimate import Estimate, Histogram, RocCurve, TprAtFpr
from .prediction import PredictionBesideMeasurement

__all__ = [
    "SCHEMA_VERSION",
    "AttackResult",
    "AuditResult",
    "CalibrationBin",
    "CalibrationResult",
    "CheckResult",
    "CombinationResult",
    "DataResult",
    "Finding",
    "FoldChoice",
    "MemorizationResult",
    "ModelProvenance",
    "Provenance",
    "RetrainedAttack",
    "RetrainedResult",
    "RiskBreakdown",
    "RiskGroup",
    "RiskResult",
    "SelectionResult",
    "SideData",
    "SoundnessResult",
    "StabilityResult",
    "TailResult",
    "TopSample",
    "Verdict",
]

SCHEMA_VERSION = "1.2"

Verdict = Literal["pass", "warn", "veto"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackResult:
    """One attack on one target: how well its score separates members from non-members.

    ``auc`` and the other estimates are undefined, with the reason, if there are no non-members.
    ``inverted`` is True if the whole interval of the AUC lies below 0.5: the score is never flipped.
    """

    attack: str
    name: str
    summary: str
    params: Mapping[str, Any]
    paper: str
    needs: tuple[str, ...]
    auc: Estimate
    advantage: Estimate
    tpr_at_fpr: tuple[TprAtFpr, ...]
    f1_equal_error: Estimate
    inverted: bool
    roc: RocCurve | None
    epsilon_lower_bound: Estimate | None = None
    p_value: float | None = None
    p_value_holm: float | None = None
    auc_residualised: Estimate | None = None
    auc_within_strata: Estimate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldChoice:
    """An attack that folds of the texts chose as the best one."""

    attack: str
    n_folds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionResult:
    """What choosing among attacks costs.

    Parameters
    ----------
    headline : str
        Label of the attack that was declared before looking.
    declared_by : {"config", "default"}
    n_attacks : int
        Attacks that were measured, over which p-values are adjusted (Holm).
    best_auc : Estimate
        AUC of "the best attack", each fold of the texts scored with the attack that was best on the others: what
        choosing after the fact is worth, without the optimism of reporting the maximum.
    chosen : tuple of FoldChoice
        Which attacks the folds chose, the most frequent first.
    """

    headline: str
    declared_by: Literal["config", "default"]
    n_attacks: int
    best_auc: Estimate
    chosen: tuple[FoldChoice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Samples whose stated probability of membership lies in one bin: how many of them are members?"""

    low: float
    high: float
    mean_stated: float
    observed: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationResult:
    """Whether stated probabilities of membership can be taken at their word, at equal prior odds.

    Parameters
    ----------
    bins : tuple of CalibrationBin
    brier : Estimate
        Mean squared error of the stated probabilities, members and non-members weighing the same; 0.25 says nothing.
    calibration_error : float
        Mean distance of stated and observed over the bins, weighted by their samples.
    calibrated : bool
        Whether no bin lies further from the diagonal than chance allows (intervals adjusted for the number of bins).
    """

    bins: tuple[CalibrationBin, ...]
    brier: Estimate
    calibration_error: float
    calibrated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinationResult:
    """All attacks together: a classifier trained on their scores, each text scored by folds that did not train on it.

    Parameters
    ----------
    features : tuple of str
        Labels of the attacks whose scores go in.
    auc, tpr_at_fpr
        Of the out-of-fold scores.
    gain : Estimate
        AUC of the combination minus that of the best single attack, chosen in each fold on the others; paired by text.
    calibration : CalibrationResult or None
        Of the out-of-fold probabilities.
    """

    features: tuple[str, ...]
    method: str
    n_folds: int
    auc: Estimate
    tpr_at_fpr: tuple[TprAtFpr, ...]
    gain: Estimate
    calibration: CalibrationResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskGroup:
    """The members of one group, length, rarity or number of copies.

    ``auc`` is of the headline attack, these members against all non-members (of the same length or rarity, where
    that is what tells the groups apart); ``posterior`` their mean probability of membership.
    """

    label: str
    n_members: int
    mean_bits: Estimate | None
    auc: Estimate
    posterior: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskBreakdown:
    """How the risk differs along one property of the members.

    ``p_value`` is that of equal risk in all groups (Kruskal-Wallis of the headline score), Holm-adjusted over the
    breakdowns; None if it cannot be told, with ``undefined_reason``.
    """

    by: Literal["group", "length", "rarity", "copies"]
    unit: str
    groups: tuple[RiskGroup, ...]
    p_value: float | None
    n_groups_left_out: int = 0
    undefined_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TailResult:
    """The worst members by bits: the mean of the most memorized share, with its interval.

    ``quantile_bits`` is the bits that this share of the members exceeds.
    """

    share: float
    mean_bits: Estimate
    quantile_bits: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityResult:
    """Whether other references would name the same members as most at risk.

    ``rank_correlation`` is Spearman's, of the members' bits, and ``same_worst`` the share of the worst ones in common;
    both means over pairs of references, lowest and highest pair as the ends.
    """

    n_references: int
    rank_correlation: float
    rank_correlation_lowest: float
    worst_share: float
    same_worst: float
    same_worst_lowest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskResult:
    """Who is at risk: per-sample probabilities, the tail, and where the risk is concentrated.

    ``posterior_attack`` is the attack whose score became a probability of membership, at equal prior odds;
    ``members_above`` counts members beyond a probability of 0.9, ``non_members_above`` the false alarms there.
    """

    posterior_attack: str
    calibration: CalibrationResult | None
    members_above: int | None
    non_members_above: int | None
    tails: tuple[TailResult, ...]
    breakdowns: tuple[RiskBreakdown, ...]
    stability: StabilityResult | None
    undefined_reason: str | None = None


Finding = Literal["residual", "over_erased", "indistinguishable", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainedAttack:
    """One attack on the target beside the same attack on a model that never saw the members.

    ``change`` is the target's AUC minus the retrained model's, paired by text; both directions are findings.
    """

    attack: str
    target_auc: Estimate
    retrained_auc: Estimate
    change: Estimate
    p_value: float | None
    p_value_holm: float | None
    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainedResult:
    """Does the target differ from a model retrained without the members, in either direction?

    ``margin`` is the change of AUC below which the two count as the same: ``indistinguishable`` means that the whole
    interval of the change lies within it, ``undecided`` that it does not, and that no change holds
    either once corrected for all attacks.
    """

    path: str
    weights_sha256: str
    margin: float
    finding: Finding
    net_bits_per_member: Estimate
    attacks: tuple[RetrainedAttack, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TopSample:
    """One of the most memorized samples. ``text`` stays None unless the user asked for texts."""

    sample_id: str
    text_sha256: str
    is_member: bool
    n_tokens: int
    signed_bits: float
    memorized_bits: float
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorizationResult:
    """Dataset-level estimates of unintended memorization, in bits.

    Bits are signed per sample, ``log2 p(text | target) - log2 p(text | reference)``; clipped means
    ``max(0, signed)``. Every interval covers the sampling of texts, not of training runs.

    Of ``information_lower_bound_per_member``, ``low`` is the certified figure, ``value`` the same expression
    without a guarantee and ``high`` the resolution of the method, not an upper limit.

    ``calibrated`` is False without non-members: then ``clipped_total_bits`` is the paper's sum alone, an
    uncalibrated upper figure, because noise and domain adaptation are rectified into it.
    """

    calibrated: bool
    n_references: int
    mean_bits_members: Estimate
    mean_bits_non_members: Estimate
    clipped_bits_per_member: Estimate
    clipped_bits_per_non_member: Estimate
    debiased_bits_per_member: Estimate
    net_bits_per_member: Estimate
    information_lower_bound_per_member: Estimate
    clipped_total_bits: Estimate
    debiased_total_bits: Estimate
    bits_per_token: Estimate
    bits_per_byte: Estimate
    bits_per_parameter: float
    bits_per_parameter_source: str
    n_parameters: int
    capacity_bits: float
    capacity_used: Estimate
    auc_from_bits: Estimate
    auc_from_bits_assumption: str
    signed_bits_histogram: Histogram
    top_samples: tuple[TopSample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One soundness check: may the numbers be believed?

    ``sample_ids`` are the samples to drop so that the check passes, where dropping some would do.
    """

    name: str
    verdict: Verdict
    figure: float | None
    unit: str
    detail: str
    remedy: str | None = None
    sample_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundnessResult:
    """All checks; the verdict is the worst of them."""

    verdict: Verdict
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideData:
    """The texts of one side, and what was done to them."""

    path: str
    n_samples: int
    n_groups: int | None
    n_bytes: int
    n_tokens: int
    sha256: str
    n_cut: int
    n_bytes_cut: int
    n_windowed: int
    n_repeated: int
    n_dropped: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataResult:
    """The texts behind the audit."""

    members: SideData
    non_members: SideData | None
    window_tokens: int | None
    long_texts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProvenance:
    """Which model scored, and how."""

    role: Literal["target", "reference", "shadow"]
    path: str
    revision: str | None
    adapter: str | None
    weights_sha256: str
    tokenizer_sha256: str
    architecture: str
    n_parameters: int
    n_vocabulary: int
    stored_dtype: str
    dtype: str
    device: str
    context_window: int | None
    prefix_token_ids: tuple[int, ...]
    prefix_rule: str
    scoring_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What is needed to run the audit again and to trust that this is what was run.

    ``samples_sha256`` is of the bytes of ``samples.parquet``, None if none was written; ``pack_sha256`` of the file of
    `auditor pack` that texts and reference scores came from, None if they did not.
    """

    auditor_version: str
    scoring_version: int
    packages: Mapping[str, str]
    python: str
    platform: str
    started_at: str
    seconds: float
    n_tokens_scored: int
    n_tokens_reused: int
    scoring_seconds: float
    models: tuple[ModelProvenance, ...]
    samples_sha256: str | None = None
    pack_sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """The whole audit: one document, written as ``result.json``. A part that was not run is None."""

    schema_version: str = SCHEMA_VERSION
    provenance: Provenance
    config: Mapping[str, Any]
    data: DataResult
    soundness: SoundnessResult | None
    memorization: MemorizationResult | None
    attacks: tuple[AttackResult, ...]
    selection: SelectionResult | None = None
    combination: CombinationResult | None = None
    risk: RiskResult | None = None
    retrained: RetrainedResult | None = None
    prediction: PredictionBesideMeasurement | None = None
    extraction: Mapping[str, Any] | None = None
    canaries: Mapping[str, Any] | None = None
    gates: tuple[Mapping[str, Any], ...] | None = None
    warnings: tuple[str, ...] = field(default=())
