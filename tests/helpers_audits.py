"""Hand-made audits, one for each situation that a report must survive."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from statistics import NormalDist

import numpy as np

from auditor.documents.estimate import Estimate, Histogram, RocCurve, TprAtFpr
from auditor.documents.extraction import DrawsPoint, ExtractionByBits, ExtractionConfirmed, ExtractionResult
from auditor.documents.prediction import PredictionBesideMeasurement
from auditor.documents.result import (
    AttackResult,
    AuditResult,
    CalibrationBin,
    CalibrationResult,
    CheckResult,
    CombinationResult,
    DataResult,
    FoldChoice,
    MemorizationResult,
    ModelProvenance,
    Provenance,
    RetrainedAttack,
    RetrainedResult,
    RiskBreakdown,
    RiskGroup,
    RiskResult,
    SelectionResult,
    SideData,
    SoundnessResult,
    StabilityResult,
    TailResult,
    TopSample,
)
from auditor.estimates.code_lengths import SampleBits
from auditor.estimates.grade import grade_signal
from auditor.estimates.memorization import dataset_memorization
from auditor.estimates.memorization import top_samples as top_sample_rows
from auditor.estimates.prediction import compare
from auditor.estimates.risk import assess_risk
from auditor.laws.capacity import BitsPerParameter
from auditor.laws.prediction import Plan, predict
from auditor.stats.metrics import evaluate

N_MEMBERS, N_NON_MEMBERS = 500, 480
NORMAL = NormalDist()
NO_NON_MEMBERS = "no non-members were given"


def estimate(value: float, low: float, high: float, method: str = "bootstrap over groups, BCa") -> Estimate:
    return Estimate(
        value=value,
        low=low,
        high=high,
        level=0.95,
        method=method,
        n_members=N_MEMBERS,
        n_non_members=N_NON_MEMBERS,
    )


def undefined(reason: str = NO_NON_MEMBERS, n_non_members: int = 0) -> Estimate:
    return Estimate.undefined(reason, level=0.95, n_members=N_MEMBERS, n_non_members=n_non_members)


def roc(separation: float) -> RocCurve:
    """Points of the binormal curve with this d'."""
    rates = [0.0] + [round(10 ** (-2.7 + 2.7 * k / 60), 6) for k in range(61)]
    tpr = [NORMAL.cdf(separation + NORMAL.inv_cdf(fpr)) if 0 < fpr < 1 else fpr for fpr in rates]
    return RocCurve(fpr=tuple(rates), tpr=tuple(round(value, 6) for value in tpr))


def attack(
    name: str, auc: float, half: float, *, params: dict | None = None, needs: tuple = (), summary: str = ""
) -> AttackResult:
    """An attack with the rates of the binormal model at this AUC."""
    params = params or {}
    label = name + (":" + ",".join(f"{key}={value}" for key, value in params.items()) if params else "")
    separation = 2**0.5 * NORMAL.inv_cdf(auc)

    def rate(fpr: float) -> float:
        return NORMAL.cdf(separation + NORMAL.inv_cdf(fpr))

    def near(value: float, width: float, method: str) -> Estimate:
        return estimate(value, max(0.0, value - width), min(1.0, value + width), method)

    tpr = [TprAtFpr.at(fpr, near(rate(fpr), 0.045, "bootstrap over texts")) for fpr in (0.01, 0.05)]
    too_few = undefined("an FPR of 0.001 needs at least 1,000 non-members, there are 480", N_NON_MEMBERS)
    return AttackResult(
        attack=label,
        name=name,
        summary=summary or f"Score of the {name} attack.",
        params=params,
        paper="arXiv:2505.24832, section 4",
        needs=needs,
        auc=near(auc, half, "DeLong, logit scale"),
        advantage=near(2 * NORMAL.cdf(abs(separation) / 2) - 1, 0.05, "bootstrap over texts"),
        tpr_at_fpr=(TprAtFpr.at(0.001, too_few), *tpr),
        f1_equal_error=near(NORMAL.cdf(separation / 2), 0.02, "bootstrap over texts"),
        inverted=auc + half < 0.5,
        roc=roc(separation),
    )


def attacks() -> tuple[AttackResult, ...]:
    return (
        attack("loss", 0.744, 0.031, summary="Mean log-probability of the tokens."),
        attack(
            "reference",
            0.931,
            0.017,
            needs=("reference",),
            summary="Log-likelihood ratio of the target and the reference.",
        ),
        attack("zlib", 0.702, 0.033, needs=("text",), summary="Loss divided by the compressed size of the text."),
        attack("min_k", 0.761, 0.030, params={"k": 0.1}, summary="Mean of the lowest tenth of log-probabilities."),
        attack(
            "min_k_plus_plus",
            0.803,
            0.028,
            needs=("vocab_stats",),
            summary="Min-K of log-probabilities standardised over the vocabulary.",
        ),
        attack(
            "lowercase",
            0.421,
            0.036,
            needs=("lowercase",),
            summary="Loss of the text against its lower-cased form.",
        ),
    )


def histogram() -> Histogram:
    edges = tuple(float(edge) for edge in range(-30, 125, 5))

    def counts(mean: float, sd: float, n: int) -> tuple[int, ...]:
        curve = NormalDist(mean, sd)
        return tuple(round(n * (curve.cdf(b) - curve.cdf(a))) for a, b in pairwise(edges))

    return Histogram(
        unit="bits", edges=edges, members=counts(47, 24, N_MEMBERS), non_members=counts(4, 11, N_NON_MEMBERS)
    )


def top_samples() -> tuple[TopSample, ...]:
    return tuple(
        TopSample(
            sample_id=f"record-{4711 + 37 * i:05d}",
            text_sha256=f"{0x9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08 + i:064x}",
            is_member=i != 6,
            n_tokens=64 - 3 * i,
            signed_bits=121.4 - 6.3 * i,
            memorized_bits=121.4 - 6.3 * i,
        )
        for i in range(8)
    )


def memorization() -> MemorizationResult:
    welch = "Welch t on texts"
    return MemorizationResult(
        calibrated=True,
        n_references=1,
        mean_bits_members=estimate(46.83, 44.72, 48.94, "Student t on texts"),
        mean_bits_non_members=estimate(4.11, 3.12, 5.10, "Student t on texts"),
        clipped_bits_per_member=estimate(47.02, 44.95, 49.09, "Student t on texts"),
        clipped_bits_per_non_member=estimate(6.24, 5.51, 6.97, "Student t on texts"),
        debiased_bits_per_member=estimate(40.78, 38.59, 42.97, welch),
        net_bits_per_member=estimate(42.72, 40.39, 45.05, welch),
        information_lower_bound_per_member=estimate(2.31, 1.94, 8.91, "Donsker-Varadhan, split sample, one-sided"),
        clipped_total_bits=estimate(23510.0, 22475.0, 24545.0, "mean times members"),
        debiased_total_bits=estimate(20390.0, 19295.0, 21485.0, "mean times members"),
        bits_per_token=estimate(0.6797, 0.6431, 0.7163, "ratio, delta method"),
        bits_per_byte=estimate(0.1595, 0.1509, 0.1681, "ratio, delta method"),
        bits_per_parameter=3.64,
        bits_per_parameter_source="Morris et al. 2025, bfloat16",
        n_parameters=1_604_608,
        capacity_bits=5840773.12,
        capacity_used=estimate(0.003491, 0.003303, 0.003679, "debiased total / capacity"),
        auc_from_bits=estimate(0.938, 0.922, 0.951, "delta method"),
        auc_from_bits_assumption="if signed bits were normal on both sides",
        signed_bits_histogram=histogram(),
        top_samples=top_samples(),
        uniform_bits_per_member=estimate(540.0, 531.2, 548.8, "matched gamma and t"),
        saved_bits_per_member=estimate(327.02, 318.4, 335.6, "matched gamma and t"),
        generalization_bits_per_member=estimate(280.0, 272.1, 287.9, "matched gamma and t"),
        generalization_bits_per_non_member=estimate(279.1, 271.0, 287.2, "matched gamma and t"),
        saved_total_bits=estimate(163510.0, 159200.0, 167800.0, "mean times members"),
        generalization_total_bits=estimate(140000.0, 136050.0, 143950.0, "mean times members"),
        generalization_share=estimate(0.8562, 0.8477, 0.8647, "ratio of means, delta method"),
        lzma_bits_per_member=estimate(1180.0, 1161.0, 1199.0, "matched gamma and t"),
        generalization_beyond_lzma_bits_per_member=estimate(920.0, 905.0, 935.0, "matched gamma and t"),
    )


def soundness() -> SoundnessResult:
    def check(name: str, verdict: str, figure: float | None, unit: str, detail: str, remedy: str | None = None):
        return CheckResult(name=name, verdict=verdict, figure=figure, unit=unit, detail=detail, remedy=remedy)

    return SoundnessResult(
        verdict="warn",
        checks=(
            check("blind_baseline", "pass", 0.513, "AUC", "words alone do not tell the sides apart (AUC 0.513)"),
            check("reference_alone", "pass", 0.507, "AUC", "The reference alone does not tell the sides apart."),
            check("overlap", "pass", 0.0, "texts", "No text stands on both sides."),
            check(
                "near_duplicates",
                "warn",
                14.0,
                "texts",
                "14 members share 13 words in a row with a non-member; the non-members are not quite unseen.",
                "Remove the non-members listed in samples.parquet and audit again.",
            ),
            check("length", "pass", 0.02, "KS distance", "Both sides have the same lengths."),
            check("sample_size", "pass", 480.0, "texts", "Enough for an AUC to within 0.02."),
            check("tokenizer", "pass", None, "", "Target and reference tokenize identically."),
            check("precision", "pass", 0.0004, "bits per token", "Scoring twice agrees."),
        ),
    )  # fmt: skip


def side(name: str, n: int) -> SideData:
    return SideData(
        path=f"data/{name}.jsonl",
        n_samples=n,
        n_groups=None,
        n_bytes=256 * n,
        n_tokens=60 * n,
        sha256="2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
        n_cut=3 if name == "members" else 0,
        n_bytes_cut=912 if name == "members" else 0,
        n_windowed=0,
        n_repeated=2 if name == "members" else 0,
        notes=("2 members occur twice; each is counted once.",) if name == "members" else (),
    )


def model(role: str) -> ModelProvenance:
    return ModelProvenance(
        role=role,
        path=f"models/{'support-assistant' if role == 'target' else 'base'}",
        revision="a1b2c3d4" if role == "target" else None,
        adapter=None,
        weights_sha256="fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9",
        tokenizer_sha256="9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0",
        architecture="GPT2LMHeadModel",
        n_parameters=1_604_608,
        n_vocabulary=2048,
        stored_dtype="bfloat16",
        dtype="float32",
        device="cpu",
        context_window=512,
        prefix_token_ids=(0,),
        prefix_rule="auto: the tokenizer's bos token",
        scoring_path="log-softmax in float32, unpadded positions only",
    )


def provenance() -> Provenance:
    return Provenance(
        auditor_version="0.1.0",
        scoring_version=1,
        packages={"torch": "2.9.0", "transformers": "5.1.0", "numpy": "2.3.4"},
        python="3.11.7",
        platform="Linux x86_64",
        started_at="2026-03-14T09:26:53+00:00",
        seconds=41.72,
        n_tokens_scored=176_400,
        n_tokens_reused=0,
        scoring_seconds=33.1,
        models=(model("target"), model("reference")),
    )


def config() -> dict:
    spec = {"text_field": "text", "split": "train"}
    return {
        "target": {"path": "models/support-assistant", "revision": "a1b2c3d4", "adapter": None},
        "references": [{"path": "models/base", "revision": None, "adapter": None}],
        "members": {"path": "data/members.jsonl", **spec},
        "non_members": {"path": "data/non_members.jsonl", **spec},
        "attacks": [],
        "confidence": 0.95,
        "fpr_targets": [0.001, 0.01, 0.05],
        "seed": 0,
        "include_text": False,
    }


def build() -> AuditResult:
    """The ordinary audit: a reference, both sides, six attacks, one warning."""
    return AuditResult(
        provenance=provenance(),
        config=config(),
        data=DataResult(
            members=side("members", N_MEMBERS),
            non_members=side("non_members", N_NON_MEMBERS),
            window_tokens=None,
            long_texts="cut",
        ),
        soundness=soundness(),
        memorization=memorization(),
        attacks=attacks(),
        warnings=("3 members were cut to the context window of 512 tokens; the rest of each was not audited.",),
    )


def strip_attack(one: AttackResult) -> AttackResult:
    none = undefined()
    return replace(
        one,
        auc=none,
        advantage=none,
        tpr_at_fpr=tuple(TprAtFpr.at(rate.fpr, none) for rate in one.tpr_at_fpr),
        f1_equal_error=none,
        inverted=False,
        roc=None,
    )


def build_no_non_members() -> AuditResult:
    """Members only: bits are an uncalibrated upper figure, no attack can be measured."""
    result, none = build(), undefined()
    assert result.memorization is not None
    memory = replace(
        result.memorization,
        calibrated=False,
        mean_bits_non_members=none,
        clipped_bits_per_non_member=none,
        debiased_bits_per_member=none,
        net_bits_per_member=none,
        information_lower_bound_per_member=none,
        debiased_total_bits=none,
        capacity_used=none,
        auc_from_bits_assumption="the reference codes unseen text at least as well as the target does.",
        signed_bits_histogram=replace(histogram(), non_members=(0,) * len(histogram().members)),
    )
    return replace(
        result,
        data=replace(result.data, non_members=None),
        soundness=None,
        memorization=memory,
        attacks=tuple(strip_attack(one) for one in result.attacks),
        config=result.config | {"non_members": None},
    )


def build_no_reference() -> AuditResult:
    """No reference: attacks on the target alone, no bits."""
    result = build()
    return replace(
        result,
        provenance=replace(result.provenance, models=result.provenance.models[:1]),
        memorization=None,
        attacks=tuple(one for one in result.attacks if one.name != "reference"),
        config=result.config | {"references": []},
    )


def build_veto() -> AuditResult:
    """The blind baseline tells the sides apart: no verdict."""
    result = build()
    assert result.soundness is not None
    first, *rest = result.soundness.checks
    bad = replace(
        first,
        verdict="veto",
        figure=0.87,
        detail="words alone tell the sides apart (AUC 0.87, interval 0.85 to 0.89), without any model.",
        remedy="Draw members and non-members from the same source and period.",
    )
    return replace(result, soundness=SoundnessResult(verdict="veto", checks=(*rest, bad)))


def build_none() -> AuditResult:
    """The headline interval includes 0.5, and the bits include 0."""
    result = build()
    assert result.memorization is not None
    memory = replace(
        result.memorization,
        mean_bits_members=estimate(-1.21, -2.02, -0.40),
        mean_bits_non_members=estimate(-1.58, -2.41, -0.75),
        debiased_bits_per_member=estimate(0.31, -0.52, 1.14),
        net_bits_per_member=estimate(0.37, -0.79, 1.53),
        information_lower_bound_per_member=estimate(0.0, 0.0, 8.91),
        debiased_total_bits=estimate(155.0, -260.0, 570.0),
        bits_per_token=estimate(0.005, -0.009, 0.019),
        bits_per_byte=estimate(0.0012, -0.002, 0.0045),
        capacity_used=estimate(0.0000265, -0.0000445, 0.0000976),
        auc_from_bits=estimate(0.511, 0.475, 0.547),
    )
    attacks = (attack("loss", 0.503, 0.04), attack("reference", 0.512, 0.037))
    return replace(result, attacks=attacks, memorization=memory)


HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'><b onmouseover=x>`code`|pipe|[link](javascript:x)"
    "\x00\x1b[31mred\x1b[0m\r\nline\u202ereversed\u2066\u200b\ud800[bold red]rich[/bold red]{{ 7*7 }}{% raw %}"
    "</title></style></svg>--> @everyone #1 https://evil.example ![i](https://evil.example/x.png)"
)


KEPT = {
    "measure",
    "role",
    "verdict",
    "finding",
    "by",
    "declared_by",
    "schema_version",
    "undefined_reason",
    "name",
    "started_at",
}
"""Fields that decide what is rendered, and are left alone by :func:`poison`."""


def poison(value: object, text: str) -> object:
    """Put a text before every string of a result, however deep."""
    if isinstance(value, str):
        return text + value
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: getattr(value, f.name) for f in fields(value)}
        return replace(value, **{k: v if k in KEPT else poison(v, text) for k, v in parts.items()})
    if isinstance(value, dict):
        return {f"{text}{key}": poison(inner, text) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(poison(inner, text) for inner in value)
    return value


def beside() -> PredictionBesideMeasurement:
    """A prediction that agrees with the loss attack and is below the attack with a reference."""
    plan = Plan(
        params=12_528,
        tokens=626 * 64,
        capacity=BitsPerParameter(3.51, "Morris et al. 2025, table 5, bfloat16 mean (checkpoint stored in bfloat16)"),
        bits_per_token=5.2,
        dataset_bits_source="5.2 bits per token, the code length of non-members under the reference",
    )
    loss, reference = attacks()[:2]
    return compare(
        predict(plan),
        loss_f1=loss.f1_equal_error,
        loss_auc=loss.auc,
        reference_f1=reference.f1_equal_error,
        reference_auc=reference.auc,
        best_auc=reference.auc,
        bits_per_member=estimate(20.1, 18.0, 22.2),
        capacity_used=undefined("the capacity of an adapter on a trained base is not known"),
    )


def build_expected() -> AuditResult:
    """The size of the training set was stated."""
    return replace(build(), prediction=beside())


def calibration() -> CalibrationResult:
    """Probabilities that are too sure of themselves at the top; no sample lies in the lowest bin."""
    stated = ((0.1, 0.0, 0.1), (0.31, 0.36, 0.09), (0.52, 0.49, 0.08), (0.71, 0.66, 0.08), (0.94, 0.815, 0.06))
    bins = [
        CalibrationBin(
            low=i / 5,
            high=(i + 1) / 5,
            mean_stated=mean,
            observed=estimate(at, at - half, at + half, "Wilson, adjusted for 5 bins"),
        )
        for i, (mean, at, half) in enumerate(stated)
    ]
    nobody = undefined("no text was stated at 0% to 20%", N_NON_MEMBERS)
    return CalibrationResult(
        bins=(replace(bins[0], observed=nobody), *bins[1:]),
        brier=estimate(0.1123, 0.1017, 0.1231),
        calibration_error=0.0341,
        calibrated=False,
    )


def group(label: str, n: int, bits: float | None, auc: float, posterior: float) -> RiskGroup:
    if n < 10:
        few = undefined(f"fewer than 10 members, there are {n}", N_NON_MEMBERS)
        return RiskGroup(label=label, n_members=n, mean_bits=few, auc=few, posterior=few)
    return RiskGroup(
        label=label,
        n_members=n,
        mean_bits=None if bits is None else estimate(bits, bits - 3.1, bits + 3.3),
        auc=estimate(auc, auc - 0.031, min(1.0, auc + 0.027)),
        posterior=estimate(posterior, posterior - 0.042, posterior + 0.037),
    )


def risk() -> RiskResult:
    """Risk that grows with copies and differs between groups; the groups are named by the data."""
    sources = [group(f"source {i:02d}", 20 + i, 30.0 + i, 0.81 + 0.011 * i, 0.52 + 0.021 * i) for i in range(13)]
    hostile = group("<script>alert(3)</script>|[x](y)" + "long " * 30, 31, 50.3, 0.961, 0.871)
    lengths = (
        group("1 to 31", 160, 22.3, 0.853, 0.641),
        group("32 to 63", 170, 41.7, 0.927, 0.773),
        group("64 or more", 170, 77.9, 0.968, 0.869),
    )
    return RiskResult(
        posterior_attack="all attacks together",
        calibration=calibration(),
        members_above=211,
        non_members_above=13,
        tails=tuple(
            TailResult(
                share=share,
                mean_bits=estimate(bits, bits - 9.1, bits + 9.7),
                quantile_bits=estimate(bits - 12.3, bits - 17.9, bits - 6.1),
            )
            for share, bits in ((0.01, 118.2), (0.05, 103.4), (0.1, 92.7))
        ),
        breakdowns=(
            RiskBreakdown(
                by="group", unit="name", groups=(*sources, hostile, group("tiny", 3, 0.0, 0.5, 0.5)), p_value=0.00021,
                n_groups_left_out=4,
            ),
            RiskBreakdown(by="length", unit="tokens", groups=lengths, p_value=0.0000004),
            RiskBreakdown(
                by="rarity", unit="mean TF-IDF weight of a word", groups=(lengths[0], lengths[1]), p_value=0.4127
            ),
            RiskBreakdown(
                by="copies", unit="copies", groups=(), p_value=None, undefined_reason="no member is there twice"
            ),
        ),
        stability=StabilityResult(
            n_references=9,
            rank_correlation=0.912,
            rank_correlation_lowest=0.874,
            worst_share=0.05,
            same_worst=0.76,
            same_worst_lowest=0.64,
        ),
    )  # fmt: skip


def retrained() -> RetrainedResult:
    """A target that still knows the members; one attack sees nothing, one the opposite, one cannot be measured."""

    def compared(name: str, ours: float, theirs: float, half: float, p: float, finding: str) -> RetrainedAttack:
        return RetrainedAttack(
            attack=name,
            target_auc=estimate(ours, ours - 0.021, ours + 0.019),
            retrained_auc=estimate(theirs, theirs - 0.033, theirs + 0.031),
            change=estimate(ours - theirs, ours - theirs - half, ours - theirs + half, "paired DeLong"),
            p_value=p / 4,
            p_value_holm=p,
            finding=finding,
        )

    none = undefined("the attack has one value for all texts", N_NON_MEMBERS)
    return RetrainedResult(
        path="models/retrained",
        weights_sha256="5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9",
        margin=0.02,
        finding="residual",
        net_bits_per_member=estimate(38.17, 35.93, 40.41),
        attacks=(
            compared("loss", 0.744, 0.537, 0.041, 0.00003, "residual"),
            compared("reference", 0.931, 0.514, 0.037, 0.00001, "residual"),
            compared("zlib", 0.502, 0.506, 0.013, 0.8123, "indistinguishable"),
            compared("lowercase", 0.421, 0.498, 0.034, 0.0021, "over_erased"),
            RetrainedAttack(
                attack="min_k:k=0.1", target_auc=none, retrained_auc=none, change=none,
                p_value=None, p_value_holm=None, finding="undecided",
            ),
        ),
    )  # fmt: skip


def combination() -> CombinationResult:
    together = attack("together", 0.937, 0.016)
    return CombinationResult(
        features=tuple(one.attack for one in attacks()),
        method="logistic regression; 5 folds",
        n_folds=5,
        auc=together.auc,
        tpr_at_fpr=together.tpr_at_fpr,
        gain=estimate(0.0061, -0.0018, 0.0143, "paired, out of fold"),
        calibration=calibration(),
    )


def full_attacks() -> tuple[AttackResult, ...]:
    """The attacks with p-values, and with AUCs that leave out what the texts alone tell."""
    p_values = (0.00002, 0.0000001, 0.0004, 0.0113, 0.0461, 0.998)
    found = [
        replace(
            one,
            p_value=p / 6,
            p_value_holm=p,
            auc_residualised=estimate(0.5 + (area - 0.5) / 2, area / 2 + 0.21, area / 2 + 0.29, "residuals"),
            auc_within_strata=estimate(area - 0.0123, area - 0.0453, area + 0.0207, "strata of length"),
        )
        for one, p in zip(attacks(), p_values, strict=True)
        for area in (one.auc.value or 0.0,)
    ]
    few = undefined("too few texts of equal length", N_NON_MEMBERS)
    return (*found[:2], replace(found[2], auc_within_strata=few), *found[3:])


def extraction() -> ExtractionResult:
    """What can be drawn out: some members by heart, one text that anybody could guess; generation confirms most."""

    def rates(name: str, members: float, non_members: float) -> dict:
        return {
            f"{name}_members": estimate(members, 0.8 * members, 1.25 * members + 0.01, "Clopper-Pearson"),
            f"{name}_non_members": estimate(non_members, 0.5 * non_members, non_members + 0.01, "Clopper-Pearson"),
            f"{name}_beyond": estimate(
                members - non_members, 0.7 * members - non_members, 1.3 * members, "two intervals joined (Zou)"
            ),
        }

    def share(value: float) -> Estimate:
        return estimate(value, 0.7 * value, min(1.0, 1.3 * value + 0.01), "Clopper-Pearson")

    return ExtractionResult(
        prefix_tokens=50, suffix_tokens=50, sampler="top-k 40 at temperature 1", least_probability=0.001,
        n_members=488, n_non_members=471, n_halved=214, n_too_short=21,
        **rates("rate", 0.102, 0.002), **rates("greedy_rate", 0.061, 0.0), **rates("unrestricted_rate", 0.094, 0.002),
        **rates("by_heart_rate", 0.098, 0.0), **rates("any_window_rate", 0.12, 0.004),
        guessable_rate_members=estimate(0.004, 0.0005, 0.0147, "Clopper-Pearson"),
        n_windows_members=4120, n_windows_non_members=3981,
        n_windows_extractable_members=310, n_windows_extractable_non_members=7,
        longest_run_members=163, longest_run_non_members=12,
        draws_for_half=estimate(31.0, 9.0, 120.0, "order statistics"),
        by_draws=tuple(
            DrawsPoint(n_draws=10**k, members=share(0.04 + 0.02 * k), non_members=share(0.001 * k)) for k in range(7)
        ),
        by_bits=tuple(
            ExtractionByBits(low=20.0 * i - 30, high=20.0 * i - 10, members=share(0.1 * i * i), non_members=share(0.01))
            for i in range(4)
        ),
        confirmed=ExtractionConfirmed(n_claims=30, n_generated=20, n_confirmed=19, rate=share(0.95)),
    )  # fmt: skip


def build_full() -> AuditResult:
    """Everything was run: shadows, a retrained model, the blind check warns, and 14 samples are to be dropped."""
    result = build()
    assert result.soundness is not None
    blind, *rest = result.soundness.checks
    blind = replace(
        blind,
        verdict="warn",
        figure=0.581,
        detail="looks alone tell the sides apart somewhat (AUC 0.581, p 0.01)",
        remedy="compare the columns that leave this out",
    )
    near = replace(rest[2], sample_ids=tuple(f"record-<b>{i:04d}</b>" for i in range(14)))
    shadows = tuple(replace(model("reference"), path=f"shadows/model-{i}") for i in range(8))
    return replace(
        result,
        provenance=replace(result.provenance, models=(*result.provenance.models, *shadows)),
        data=replace(result.data, members=replace(result.data.members, n_dropped=7)),
        soundness=SoundnessResult(verdict="warn", checks=(blind, *rest[:2], near, *rest[3:])),
        attacks=full_attacks(),
        selection=SelectionResult(
            headline="reference",
            declared_by="config",
            n_attacks=6,
            best_auc=estimate(0.929, 0.911, 0.944, "folds, Hajek"),
            chosen=(FoldChoice(attack="reference", n_folds=4), FoldChoice(attack="min_k_plus_plus", n_folds=1)),
        ),
        combination=combination(),
        risk=risk(),
        extraction=extraction(),
        retrained=retrained(),
        prediction=beside(),
    )


def build_full_veto() -> AuditResult:
    """Everything was run, and none of it may be read as leakage."""
    result = build_full()
    assert result.soundness is not None
    first, *rest = result.soundness.checks
    return replace(result, soundness=SoundnessResult(verdict="veto", checks=(replace(first, verdict="veto"), *rest)))


def build_poisoned(text: str) -> AuditResult:
    """Every part is there and every string holds the text; one sample is a million characters long."""
    result = build_full()
    assert result.memorization is not None
    assert result.selection is not None
    first, second = result.memorization.top_samples[:2]
    samples = (replace(first, text="x" * 1_000_000 + text), replace(second, text=text + "\nsecond line"))
    unmeasured = replace(result.attacks[0], auc=undefined(text), attack="unmeasured", name="loss" + text)
    poisoned = poison(
        replace(
            result,
            memorization=replace(result.memorization, top_samples=samples),
            attacks=(*result.attacks, unmeasured),
            selection=replace(result.selection, n_attacks=len(result.attacks) + 1),
            gates=({"gate": "auc", "verdict": "fail"},),
        ),
        text,
    )
    assert isinstance(poisoned, AuditResult)
    return replace(poisoned, config=config() | {"target": {"path": text, "revision": text, "adapter": None}})


def build_hostile() -> AuditResult:
    """Every string is an attack on the reader."""
    return build_poisoned(HOSTILE)


def build_few_memorized() -> AuditResult:
    """300 of 5,000 members are memorized, up to 97 bits; of the others the target tells nothing: an AUC of .53."""
    rng = np.random.default_rng(14)
    n, n_held = 5000, 300
    bits = rng.normal(0, 5, 2 * n)
    bits[:n_held] += 97 * rng.beta(1, 4.5, n_held)
    is_member = np.arange(2 * n) < n
    sizes = np.full(2 * n, 60)
    metrics = evaluate(bits, is_member, fpr_targets=(0.001, 0.01), level=0.95, rng=rng)
    result, ids = build(), [f"text-{i:05d}" for i in range(2 * n)]
    held = SampleBits(target=200 - bits, reference=np.full(2 * n, 200.0))
    samples = top_sample_rows(
        held, is_member=is_member, sample_ids=ids, text_sha256=["0" * 64] * (2 * n), n_tokens=sizes, texts=None
    )
    memory = dataset_memorization(
        held, is_member, groups=None, n_tokens=sizes, n_bytes=4 * sizes, n_references=1, n_parameters=1_604_608,
        capacity=BitsPerParameter(3.64, "Morris et al. 2025, bfloat16"), level=0.95, rng=rng, samples=samples,
    )  # fmt: skip
    found = replace(
        attack("reference", 0.53, 0.01, needs=("reference",)),
        auc=metrics.auc,
        advantage=metrics.advantage,
        tpr_at_fpr=metrics.tpr_at_fpr,
        f1_equal_error=metrics.f1_equal_error,
        inverted=metrics.inverted,
        roc=metrics.roc,
    )
    at_risk = assess_risk(
        bits, is_member, headline="reference", clusters=None, text_keys=ids, units=[None] * (2 * n), n_bytes=4 * sizes,
        n_copies=np.ones(2 * n, dtype=np.int64), signed_bits=bits, fpr_targets=(0.001, 0.01), level=0.95, seed=0,
    ).result  # fmt: skip
    soundness_ = replace(
        soundness(),
        verdict="pass",
        checks=tuple(replace(one, verdict="pass", remedy=None, detail="nothing found") for one in soundness().checks),
    )
    return replace(
        result,
        data=replace(result.data, members=side("members", n), non_members=side("non_members", n)),
        soundness=soundness_,
        memorization=memory,
        attacks=(found,),
        selection=SelectionResult(
            headline="reference", declared_by="default", n_attacks=1, best_auc=metrics.auc, chosen=()
        ),
        risk=at_risk,
        grade=grade_signal(found, at_risk, soundness=soundness_),
        warnings=(),
    )


BUILDERS: dict[str, Callable[[], AuditResult]] = {
    "normal": build,
    "no_non_members": build_no_non_members,
    "no_reference": build_no_reference,
    "veto": build_veto,
    "none": build_none,
    "hostile": build_hostile,
    "expected": build_expected,
    "full": build_full,
    "full_veto": build_full_veto,
    "few_memorized": build_few_memorized,
}
