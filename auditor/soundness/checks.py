"""Soundness checks of an audit: they never look at the attacks, and stand before any of their numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..data.splits import TOO_FEW_SAMPLES
from ..documents.estimate import Estimate
from ..documents.result import VERDICTS, CheckResult, SoundnessResult, Verdict
from ..stats import intervals, metrics
from ..stats.clusters import Groups, cluster_ids, pick_groups
from .texts import ComparedTexts

__all__ = ["ComparedModels", "ModelFacts", "TokenizerReading", "check_soundness", "is_same_model"]

CHECK_LEVEL = 0.99
"""Level of the intervals behind the checks: several are made at once, and a false alarm costs trust."""

REFERENCE_VETO_AUC = 0.6
LENGTH_VETO_AUC = 0.7
FEW_SAMPLES = 100
FEW_GROUPS = 20
"""Groups on a side below which intervals rest on the form of the distribution, however many texts there are."""
_INFORMATIVE = math.log(2 / 0.05)
"""Non-members times FPR from which a 95% interval of the true-positive rate can have a low end above 0."""
SAME_MODEL_BITS = 1e-3
MOST_READ_DIFFERENTLY = 0.01
"""Share of texts in which models may read different characters before their bits are no longer comparable."""

MOST_READ_OTHERWISE = 0.05
"""Share of texts that a tokenizer may read otherwise than its file says: whatever their scores, an AUC moves by 0.1."""

_NO_SIDES = "no non-members were given: nothing to compare the members with"

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What the checks need to know of a model."""

    weights_sha256: str
    stored_dtype: str
    dtype: str = ""
    """Precision while scoring; empty if not told."""
    quantization: str | None = None
    """Scheme in which the weights are quantised; None if they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerReading:
    """How a model's tokenizer reads the texts, beside what its own ``tokenizer.json`` says.

    Parameters
    ----------
    loaded, stated : str
        Class of the tokenizer as it was loaded, and the one that its files name; empty if they name none.
    n_otherwise : int or None
        Texts that it reads otherwise than the file says; None if there is no such file.
    is_named : bool
        Whether the tokenizer was asked for by name, so that someone answers for it.
    """

    loaded: str
    stated: str = ""
    n_otherwise: int | None = None
    is_named: bool = False

    def described(self, n_texts: int) -> str:
        """Say it in words."""
        if self.n_otherwise is None:
            return f"does not apply, as there is no tokenizer.json beside {self.loaded}"
        if not self.n_otherwise:
            return f"{self.loaded} reads every text as tokenizer.json says"
        made_for = f" (which names the class {self.stated})" if self.stated else ""
        return f"{self.loaded} reads {self.n_otherwise:,} of {n_texts:,} texts otherwise than tokenizer.json{made_for}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedModels:
    """The models of an audit, and how they read its texts.

    Parameters
    ----------
    target : ModelFacts
    references : tuple of ModelFacts
    aligned : bool
        Whether all of them read every text as the same tokens.
    unread : ndarray of int, shape (n_models, n_samples)
        Characters of each text that the tokenizer of each model has no token for; the target comes first.
    readings : tuple of TokenizerReading, length n_models
        How each tokenizer reads the texts; empty leaves that check out.
    retrained : TokenizerReading, optional
        How the tokenizer of the retrained model does, if there is one.
    """

    target: ModelFacts
    references: tuple[ModelFacts, ...]
    aligned: bool
    unread: NDArray[np.int64]
    readings: tuple[TokenizerReading, ...] = ()
    retrained: TokenizerReading | None = None


def check_soundness(
    texts: ComparedTexts,
    models: ComparedModels,
    *,
    reference_bits: Values | None,
    signed_bits: Values | None,
    fpr_targets: Sequence[float],
    extra: Sequence[CheckResult] = (),
) -> SoundnessResult:
    """Run every check that needs no model beyond the scores that the audit has made.

    Parameters
    ----------
    texts : ComparedTexts
    models : ComparedModels
    reference_bits, signed_bits : ndarray of float64, shape (n_samples,), bits, or None
        None without a reference; signed bits also before the target was run, which leaves out what takes them.
    fpr_targets : sequence of float
        The false-positive rates that the audit reports at.
    extra : sequence of CheckResult
        Checks made elsewhere, such as that of the split.
    """
    is_member, groups = texts.is_member, texts.groups
    checks = [
        _sample_size(is_member, texts.text_keys, groups, fpr_targets),
        _overlap(is_member, texts.text_keys),
        *texts.check_overlap(),
        *extra,
    ]
    two_sided = not is_member.all()
    if two_sided:
        checks += [_length(texts.n_bytes, is_member, groups), *texts.check_blind()]
    if models.readings:
        checks.append(_tokenizer_file(models, len(is_member)))
    if reference_bits is not None:
        checks += [
            _distinct_models(models.target, models.references, signed_bits),
            _tokenizer(models.aligned, models.unread),
            _precision(models.target, models.references),
        ]
        if two_sided:
            checks.append(_reference_alone(-reference_bits / texts.n_bytes, is_member, groups))
        if two_sided and signed_bits is not None:
            checks.append(_negative_control(signed_bits, is_member, groups))
    checks.sort(key=lambda check: -VERDICTS.index(check.verdict))
    return SoundnessResult(verdict=checks[0].verdict, checks=tuple(checks))


def _sample_size(
    is_member: NDArray[np.bool_], text_keys: Sequence[str], groups: Groups, fpr_targets: Sequence[float]
) -> CheckResult:
    """Are there enough different texts, in enough groups, for the figures asked for?"""
    sides = [
        {key for key, member in zip(text_keys, is_member, strict=True) if member == side} for side in (True, False)
    ]
    n_members, n_non = map(len, sides)
    least = min(n_members, n_non) if n_non else n_members
    detail = f"different texts: {n_members} of members, {n_non} of non-members"
    clusters = cluster_ids(is_member.size, groups)
    n_groups = [np.unique(clusters[is_member == side]).size for side in (True, False)]
    fewest_groups = min(n_groups) if n_non else n_groups[0]
    if np.unique(clusters).size < is_member.size:
        detail += f"; in groups: {n_groups[0]} of members, {n_groups[1]} of non-members"
    verdict: Verdict = "pass"
    remedy = None
    if least < TOO_FEW_SAMPLES:
        detail += f"; fewer than {TOO_FEW_SAMPLES} on a side carry no verdict"
        verdict, remedy = "veto", f"give at least {TOO_FEW_SAMPLES} samples on each side, better several hundred"
    elif not n_non:
        detail += "; whether the sides are comparable cannot be checked"
        verdict, remedy = "warn", "give held-out texts of the same distribution with --non-members"
    elif least < FEW_SAMPLES:
        verdict, remedy = "warn", f"intervals are wide; {FEW_SAMPLES} or more a side make them useful"
    if verdict != "veto" and fewest_groups < FEW_GROUPS:
        detail += f"; fewer than {FEW_GROUPS} groups on a side, and texts of one group are one piece of evidence"
        few = f"intervals of few groups are wide and less sure: give texts of at least {FEW_GROUPS} groups a side"
        verdict, remedy = "warn", few if remedy is None else f"{remedy}; {few}"
    if n_non:
        detail += "".join(_enough_for(fpr, n_non) for fpr in sorted(fpr_targets))
    return CheckResult(
        name="sample_size", verdict=verdict, figure=float(least), unit="samples", detail=detail, remedy=remedy
    )


def _enough_for(fpr: float, n_non_members: int) -> str:
    """Say what so many non-members tell of the true-positive rate at an FPR; nothing if enough."""
    least, informative = math.ceil(1 / fpr - 1e-9), math.ceil(_INFORMATIVE / fpr)
    if n_non_members < least:
        return f"; FPR {fpr:g}: undefined below {least:,} non-members"
    if n_non_members < informative:
        return f"; FPR {fpr:g}: defined, but its intervals start at 0 below {informative:,} non-members"
    return ""


def _overlap(is_member: NDArray[np.bool_], text_keys: Sequence[str]) -> CheckResult:
    """No text may stand on both sides, as scored: texts that differ only beyond the cut are the same text."""
    keys = np.array(text_keys)
    shared = np.isin(keys, np.intersect1d(keys[is_member], keys[~is_member]))
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    n_repeated = int((counts[inverse] > 1).sum())
    if shared.any():
        return CheckResult(
            name="overlap",
            verdict="veto",
            figure=float(shared.sum()),
            unit="samples on both sides",
            detail=f"{int(shared.sum())} samples have the same text, as cut and scored, as one of the other side",
            remedy="raise --max-tokens or use --long-texts stride, so that texts are scored where they differ",
        )
    detail = "no text, as scored, stands on both sides (exact match)"
    if n_repeated:
        detail += f"; {n_repeated} samples repeat a text of their own side and count as one group each"
    return CheckResult(
        name="overlap",
        verdict="warn" if n_repeated else "pass",
        figure=float(n_repeated),
        unit="repeated samples",
        detail=detail,
        remedy="repeated texts add no evidence; keep one of each" if n_repeated else None,
    )


def _length(n_bytes: NDArray[np.int64], is_member: NDArray[np.bool_], groups: Groups) -> CheckResult:
    """Test whether the length of a text alone tells the sides apart."""
    return _separation(
        "length",
        metrics.auc(n_bytes.astype(np.float64), is_member, level=CHECK_LEVEL, groups=groups),
        veto_auc=LENGTH_VETO_AUC,
        what="the length of a text alone",
        remedy=(
            "sample both sides from one pool, or match lengths: keep as many of each side in every range of bytes; the "
            "AUC within strata of length compares only texts of like length"
        ),
    )


def _reference_alone(score: Values, is_member: NDArray[np.bool_], groups: Groups) -> CheckResult:
    """Test whether the reference, which never saw the members, tells the sides apart by itself."""
    return _separation(
        "reference_alone",
        metrics.auc(score, is_member, level=CHECK_LEVEL, groups=groups),
        veto_auc=REFERENCE_VETO_AUC,
        what="the reference model's log-probability per byte alone",
        remedy=(
            "members and non-members are not from one distribution, or the reference saw one side; split one pool "
            "at random before training and take a reference that saw neither"
        ),
    )


def _separation(name: str, area: Estimate, *, veto_auc: float, what: str, remedy: str) -> CheckResult:
    """Judge an AUC that should be one half."""
    if area.value is None or area.low is None or area.high is None:
        return CheckResult(
            name=name,
            verdict="warn",
            figure=None,
            unit="AUC",
            detail=area.undefined_reason or _NO_SIDES,
            remedy=remedy,
        )
    verdict: Verdict = "pass"
    if area.low > veto_auc or area.high < 1 - veto_auc:
        verdict = "veto"
    elif area.low > 0.5 or area.high < 0.5:
        verdict = "warn"
    says = {
        "pass": "does not tell the sides apart",
        "warn": "tells the sides apart a little",
        "veto": "tells the sides apart",
    }[verdict]
    return CheckResult(
        name=name,
        verdict=verdict,
        figure=area.value,
        unit="AUC",
        detail=f"{what} {says}: AUC {area.value:.3f}, {CHECK_LEVEL:.0%} interval {area.low:.3f} to {area.high:.3f}",
        remedy=None if verdict == "pass" else remedy,
    )


def _negative_control(signed_bits: Values, is_member: NDArray[np.bool_], groups: Groups) -> CheckResult:
    """Are the bits of texts that were not trained on at or below zero, as they should be?

    At most 0.5% of false alarms from 100 non-members on, left-skewed bits included, unless the texts that lose most
    are so rare that none may have been drawn (`unseen_below`): a test simulates it, and the detail names the rarity.
    """
    theirs = pick_groups(groups, ~is_member)
    mean = intervals.mean(signed_bits[~is_member], level=CHECK_LEVEL, groups=theirs, n_as="non_members")
    if mean.value is None or mean.low is None or mean.high is None:
        return CheckResult(
            name="negative_control",
            verdict="warn",
            figure=None,
            unit="bits per non-member",
            detail=mean.undefined_reason or _NO_SIDES,
        )
    above = mean.low > 0
    return CheckResult(
        name="negative_control",
        verdict="warn" if above else "pass",
        figure=mean.value,
        unit="bits per non-member",
        detail=(
            f"mean signed bits of non-members {_signed(mean.value)}, {CHECK_LEVEL:.0%} interval {_signed(mean.low)} to "
            f"{_signed(mean.high)}{_better_too(mean) if above else ''}"
        ),
        remedy=("read the debiased figures, not the clipped total: part of it is domain adaptation" if above else None),
    )


def _signed(bits: float) -> str:
    return f"{bits:.2f}".replace("-", "−")


def _better_too(mean: Estimate) -> str:
    """Say what a mean above zero says, and of which texts, far below it, its interval cannot know."""
    said = "; the target codes unseen texts of this kind better too"
    if mean.unseen_below is not None:
        said += f" (unless some, rarer than 1 in {math.floor(1 / mean.unseen_below)}, lose far more)"
    return said


def is_same_model(signed_bits: Values) -> bool:
    """Whether target and reference say the same of every text."""
    return float(np.abs(signed_bits).max()) < SAME_MODEL_BITS


def _distinct_models(target: ModelFacts, references: Sequence[ModelFacts], signed_bits: Values | None) -> CheckResult:
    """Is the reference another model than the target, in its weights and in what it says?"""
    same = sum(reference.weights_sha256 == target.weights_sha256 for reference in references)
    silent = signed_bits is not None and is_same_model(signed_bits)
    detail = "target and references differ"
    if same:
        detail = "a reference has the very weights of the target"
    elif silent:
        detail = f"target and reference agree within {SAME_MODEL_BITS} bits on every text: the same model in effect"
    return CheckResult(
        name="distinct_models",
        verdict="veto" if same or silent else "pass",
        figure=float(same),
        unit="references equal to the target",
        detail=detail,
        remedy="take a reference that did not train on the members" if same or silent else None,
    )


def _tokenizer(aligned: bool, unread: NDArray[np.int64]) -> CheckResult:
    """Do the models read the same characters, and as the same tokens?"""
    differs = (unread != unread[0]).any(axis=0)
    n_unread = int((unread > 0).any(axis=0).sum())
    verdict: Verdict = "pass" if aligned and not n_unread else "warn"
    detail = (
        "target and references read every text as the same tokens"
        if aligned
        else "the models tokenize differently: total bits of the same characters are compared, which is fair, but a "
        "text's code length under one tokenization is an upper bound for either model"
    )
    if n_unread:
        detail += f"; {n_unread} texts hold characters that a tokenizer drops ({int(unread.sum())} in all)"
    if differs.mean() > MOST_READ_DIFFERENTLY:
        verdict = "veto"
        detail += f", and in {int(differs.sum())} of them the models read different characters"
    return CheckResult(
        name="tokenizer",
        verdict=verdict,
        figure=float(n_unread),
        unit="texts with unread characters",
        detail=detail,
        remedy="take models whose tokenizers can write these texts, or leave the texts out" if n_unread else None,
    )


def _tokenizer_file(models: ComparedModels, n_texts: int) -> CheckResult:
    """Compare how tokenizers read the texts with what their own files say: the model was trained on one of the two."""
    names = ["target", *(f"reference {i}" for i in range(1, len(models.readings)))]
    readings = list(models.readings)
    if models.retrained is not None:
        names.append("retrained model")
        readings.append(models.retrained)
    told: dict[str, list[str]] = {}
    for name, one in zip(names, readings, strict=True):
        told.setdefault(one.described(n_texts), []).append(name)
    counts = [one.n_otherwise for one in readings if one.n_otherwise is not None]
    unanswered = max((one.n_otherwise or 0 for one in readings if not one.is_named), default=0)
    verdict: Verdict = "pass"
    remedy = None
    if any(counts):
        verdict = "veto" if unanswered > MOST_READ_OTHERWISE * n_texts else "warn"
        remedy = (
            "find out with which of the two the model was trained, and name it: --tokenizer FOLDER/tokenizer.json for "
            "what the file says, --tokenizer FOLDER for the class that transformers takes (of a reference "
            "--reference-tokenizer)"
            if unanswered
            else "this tokenizer was asked for by name; see that the model was trained with it"
        )
    return CheckResult(
        name="tokenizer_file",
        verdict=verdict,
        figure=float(max(counts)) if counts else None,
        unit="texts read otherwise than tokenizer.json says",
        detail="; ".join(f"{_named(who)}: {what}" for what, who in told.items()),
        remedy=remedy,
    )


def _named(models: Sequence[str]) -> str:
    """Name some models; of many, the first three and how many more."""
    return ", ".join(models[:3]) + (f" and {len(models) - 3} more" if len(models) > 3 else "")


def _precision(target: ModelFacts, references: Sequence[ModelFacts]) -> CheckResult:
    """Were the models stored, quantised and run in the same precision? A rounded model has other bits."""
    facts = (target, *references)
    kinds = {
        "stored in": {fact.stored_dtype for fact in facts},
        "quantised as": {fact.quantization or "nothing" for fact in facts},
        "run in": {fact.dtype for fact in facts} - {""},
    }
    told = [f"{how} {' and '.join(sorted(kind))}" for how, kind in kinds.items() if kind and kind != {"nothing"}]
    same = all(len(kind) <= 1 for kind in kinds.values())
    return CheckResult(
        name="precision",
        verdict="pass" if same else "warn",
        figure=None,
        unit="",
        detail=f"models {', '.join(told)}",
        remedy=None if same else "rounding alone moves bits; compare models of one precision",
    )
