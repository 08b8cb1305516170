"""Subjects of a policy: an audit, a prediction or a comparison, checked, with its figures."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ..documents.canaries import CANARIES_VERSION, CanaryResult
from ..documents.checksums import VERDICT, Checksums, is_vouched_for
from ..documents.comparison import COMPARISON_VERSION, AuditComparison
from ..documents.epsilon import EpsilonResult
from ..documents.estimate import Estimate
from ..documents.figures import ANY, Figure, PathPattern, attack_path, catalogue, path_patterns
from ..documents.files import from_text, refuse_contradictions, to_text
from ..documents.prediction import Prediction
from ..documents.result import SCHEMA_VERSION, AuditResult, Verdict
from ..documents.secrets import SECRETS_VERSION, SecretsResult
from ..errors import ResultError
from ..laws.membership import auc_from_f1
from .ceilings import ceilings_of_canaries, ceilings_of_epsilon, ceilings_of_secrets, with_ceilings

__all__ = [
    *("Judged", "Kind", "Part", "explain_inversion", "inversion", "is_inverted", "kind_of_path", "may_exist"),
    *("read_bytes", "read_judged", "with_changes", "with_checksums"),
]

Kind = Literal["audit", "prediction", "comparison"]
Part = Literal["canaries", "secrets"]

AUDIT_PARTS = (
    "attacks",
    "combination",
    "memorization",
    "risk",
    "retrained",
    "prediction",
    "extraction",
    "canaries",
    "epsilon",
)
HEADLINES = ("attacks.headline.auc", "attacks.reference.auc", "attacks.loss.auc")
BEST, LARGEST = "attacks.best.auc", "memorization.largest_sample_bits"
APPEARED = "change.high.n_appeared"
NOT_IN_BOTH = "not measured in both audits"
SINGLE = "no interval: read off single samples"
LEAST_IN_BOTH = 0.5
"""Share of the smaller audit's texts of a side that both must hold for a verdict on a change."""
FILES = ("result.json", "comparison.json", "prediction.json", "canaries.json", "secrets.json", VERDICT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A document that a policy is applied to.

    Parameters
    ----------
    path, sha256 : str
        Where it was read from, and the hash of its bytes.
    kind : {"audit", "prediction", "comparison"}
    part : {"canaries", "secrets"} or None
        The one part of an audit that a document of its own holds.
    subject : str
        The model, in a word for people.
    soundness : {"pass", "warn", "veto"} or None
        Of the audit; None if there were no checks.
    vetoes, change_vetoes, doubts : tuple of str
        Names of the checks that veto; what forbids a verdict on changes against a baseline; what warns.
    figures : mapping of str to tuple of Figure
        Every figure by its path.
    missing : mapping of str to str
        Why a part of the document holds no figures, by its name.
    checksums : {"matched", "absent"} or None
        Whether checksums vouch for an audit; None for documents that have none.
    """

    path: str
    sha256: str
    kind: Kind
    subject: str
    soundness: Verdict | None
    vetoes: tuple[str, ...]
    change_vetoes: tuple[str, ...] = ()
    doubts: tuple[str, ...]
    figures: Mapping[str, tuple[Figure, ...]]
    missing: Mapping[str, str]
    part: Part | None = None
    checksums: Checksums | None = None


def read_judged(data: bytes, path: str) -> Judged:
    """Read a document that can be judged: ``result.json``, ``comparison.json`` or what ``predict --json`` printed.

    Parameters
    ----------
    data : bytes
    path : str
        Where they come from, for messages and for the report.

    Raises
    ------
    ResultError
        In one line, if they are no such document or not what they claim to be.
    """
    try:
        text = data.decode("utf-8")
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResultError(f"cannot judge {path}: not valid JSON ({str(error)[:80]})") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if not isinstance(plain, dict):
        raise ResultError(f"cannot judge {path}: not a document of an audit, a prediction or a comparison")
    try:
        if plain.get("kind") == "canary_result":
            return _canaries(text, path, sha256)
        if plain.get("kind") == "secrets_result":
            return _secrets(text, path, sha256)
        if "changes" in plain:
            return _comparison(text, path, sha256)
        if "attacks" in plain or "memorization" in plain:
            return _audit(text, path, sha256)
        if "law" in plain and "ceiling" in plain:
            return _prediction(text, path, sha256)
    except ResultError as error:
        raise ResultError(f"cannot judge {path}: {error}") from error
    hint = "; gate the result.json of a checkpoint" if "points" in plain else ""
    raise ResultError(f"cannot judge {path}: not a document of an audit, a prediction or a comparison{hint}")


def read_bytes(path: Path) -> tuple[bytes, Path]:
    """Read a document, given itself or its folder; also return which file it was.

    Raises
    ------
    ResultError
        If it cannot be read, or a folder holds the verdict of an audit that stopped early beside another document.
    """
    file = _in_folder(path) if path.is_dir() else path
    try:
        return file.read_bytes(), file
    except OSError as error:
        raise ResultError(f"cannot read {file}: {error.strerror}") from error


def _in_folder(folder: Path) -> Path:
    """Find the document that a folder holds; which of two audits is meant is not for us to guess."""
    held = [folder / name for name in FILES if (folder / name).exists()]
    if not held and (folder / "curve.json").exists():
        raise ResultError(
            f"{folder} holds the curve of several checkpoints, each with a result of its own: name the folder of one, "
            f"such as {folder / _last_checkpoint(folder)}"
        )
    if not held:
        raise ResultError(f"{folder} holds none of {', '.join(FILES)}: name the folder that `auditor audit` wrote")
    first, *others = held
    if VERDICT in (other.name for other in others) and _stopped_early(folder / VERDICT):
        raise ResultError(
            f"{folder} holds {first.name} and, in {VERDICT}, the verdict of another audit, which stopped early "
            f"(--until-decided): name the one to judge, {first} or {folder / VERDICT}"
        )
    return first


def _stopped_early(verdict: Path) -> bool:
    """Whether a verdict is of an audit that stopped early; what cannot be read may be."""
    try:
        plain = json.loads(verdict.read_bytes())
    except (OSError, ValueError, RecursionError):
        return True
    return not isinstance(plain, dict) or plain.get("early_stop") is not None


def with_checksums(judged: Judged, file: Path) -> Judged:
    """Say whether the checksums beside the file of a document vouch for it.

    Raises
    ------
    ResultError
        If they disagree.
    """
    vouched = judged.kind == "audit" and is_vouched_for(file)
    return replace(judged, checksums="matched") if vouched else judged


def _last_checkpoint(folder: Path) -> str:
    """Name the folder of the last audit of a curve."""
    names = [file.parent.name for file in folder.glob("*/result.json")]
    return max(names, key=lambda name: [int(number) for number in re.findall(r"\d+", name)], default="NAME")


def inversion(judged: Judged) -> str | None:
    """Say that the headline attack of an audit is significantly inverted; None if it is not, or was not measured.

    Without a declared attack it is the one that reports take: reference, else loss.
    """
    headline = next((judged.figures[path][0] for path in HEADLINES if path in judged.figures), None)
    if headline is None or not is_inverted(headline):
        return None
    return explain_inversion("the headline attack is inverted", "AUC", headline)


def is_inverted(figure: Figure | Estimate, neutral: float = 0.5) -> bool:
    """Whether a whole interval lies below what a model that leaks nothing has: 0.5 of an AUC."""
    return figure.high is not None and figure.high < neutral


def explain_inversion(what: str, name: str, figure: Figure) -> str:
    """Say why nothing follows from an inverted figure."""
    low, value, high = (f"{end or 0.0:.4g}" for end in (figure.low, figure.value, figure.high))
    return (
        f"{what} ({name} {value} [{low} to {high}]): the sides are swapped, or they differ in kind; nothing may be "
        "concluded"
    )


def with_changes(judged: Judged, comparison: AuditComparison) -> Judged:
    """Add what changed against a baseline (``change.*``) to the figures of an audit.

    Parameters
    ----------
    judged : Judged
        An audit.
    comparison : AuditComparison
        Of the baseline with it.
    """
    figures = {**judged.figures, **_changes(comparison)}
    missing = {**judged.missing, "change": NOT_IN_BOTH}
    doubts = (*judged.doubts, *_doubts(comparison))
    return replace(
        judged, figures=figures, missing=missing, change_vetoes=_vetoes(comparison), doubts=doubts,
        checksums=judged.checksums if comparison.old.checksums == "matched" else "absent",
    )  # fmt: skip


def _changes(comparison: AuditComparison) -> dict[str, tuple[Figure, ...]]:
    """Name every change by the path of the figure that changed: ``change.attacks.reference.auc``."""
    found: dict[str, tuple[Figure, ...]] = {}
    for one in comparison.changes:
        measured = catalogue(json.loads(to_text({"change": one.change})))["change"][0]
        of_attack = attack_path(one.metric)
        figure = replace(
            measured,
            path=f"change.{one.metric}",
            label=of_attack.label if of_attack else None,
            description=f"change of {one.description}",
            unit="bits" if one.unit == "bits" else "",
        )
        found[figure.path] = (figure,)
        if of_attack:
            general = f"change.attacks.{ANY}.{of_attack.leaf}"
            found[general] = (*found.get(general, ()), figure)
            if of_attack.label == comparison.headline_attack:
                found[f"change.attacks.headline.{of_attack.leaf}"] = (figure,)
    if comparison.high is not None:
        n, listed = comparison.high.n_appeared, comparison.high.appeared
        found[APPEARED] = (
            _counted(APPEARED, "members that became highly memorized", n, [(one.sample_id, n) for one in listed]),
        )
    return found


def _vetoes(comparison: AuditComparison) -> tuple[str, ...]:
    """Name what forbids a verdict on a change: a check of either audit, other texts, an inverted headline attack."""
    named = tuple(one.what for one in comparison.differences if one.effect == "diagnosis") + _other_texts(comparison)
    headline = f"attacks.{comparison.headline_attack}.auc"
    measured = next((one for one in comparison.changes if one.metric == headline), None)
    if not named and measured is not None and (is_inverted(measured.old) or is_inverted(measured.new)):
        named = ("the headline attack is inverted in an audit",)
    return named or (("soundness of an audit",) if comparison.soundness == "veto" else ())


def _other_texts(comparison: AuditComparison) -> tuple[str, ...]:
    """Say that two audits are of other texts, which may be the cause of any change, as the model may."""
    pairing = comparison.pairing
    sides = (
        ("members", pairing.n_members, pairing.n_members_only_old, pairing.n_members_only_new),
        ("non-members", pairing.n_non_members, pairing.n_non_members_only_old, pairing.n_non_members_only_new),
    )
    if not pairing.paired:
        counts = " and ".join(f"{n} {side}" for side, n, *_ in sides)
        return (f"other texts ({counts} in both audits, too few to compare text by text)",)
    return tuple(
        f"other texts ({n} {side} in both audits, of {n + min(alone)} in the smaller one)"
        for side, n, *alone in sides
        if n < LEAST_IN_BOTH * (n + min(alone))
    )


def _doubts(comparison: AuditComparison) -> tuple[str, ...]:
    """Name what else may move a change than the model."""
    return tuple(f"{one.what} differs" for one in comparison.differences if one.effect == "caution")


def _counted(path: str, description: str, value: float, samples: Sequence[tuple[str, float]], unit: str = "") -> Figure:
    """Take a figure that is no estimate: what is counted or read off single samples."""
    return Figure(
        path=path, label=None, description=description, unit=unit, value=float(value), low=float(value),
        high=float(value), level=None, method=SINGLE, sample_ids=tuple(samples),
    )  # fmt: skip


def _audit(text: str, path: str, sha256: str) -> Judged:
    result = from_text(text, AuditResult, version=SCHEMA_VERSION, what="result document")
    plain = json.loads(text)
    figures = with_ceilings(catalogue(plain, AUDIT_PARTS), _ceilings(result.epsilon, result.canaries))
    missing = {part: "not run in this audit" for part in AUDIT_PARTS if not plain.get(part)}
    missing["change"] = "no baseline to compare with was given (--baseline)"
    missing["secrets"] = "no part of an audit: judge the secrets.json of `auditor secrets`"
    missing |= _void(result.epsilon, result.canaries)
    if result.selection is None:
        missing |= dict.fromkeys(("attacks.headline", "attacks.best"), "this audit declared no attack before looking")
    if result.memorization is None:
        missing["memorization"] = "not measured in this audit: bits need a reference model"
    targets = [model.path for model in result.provenance.models if model.role == "target"]
    checks = result.soundness.checks if result.soundness else ()
    verdict = result.soundness.verdict if result.soundness else None
    return Judged(
        path=path,
        sha256=sha256,
        kind="audit",
        subject=targets[0] if targets else "unknown target",
        soundness=None if verdict == "pass" and not checks else verdict,  # nobody checked what could not be found
        vetoes=tuple(check.name for check in checks if check.verdict == "veto"),
        doubts=tuple(check.name for check in checks if check.verdict == "warn"),
        figures={**figures, **_aliases(result, plain, figures)},
        missing=missing,
        checksums="absent",
    )


def _void(epsilon: EpsilonResult | None, canaries: CanaryResult | None) -> dict[str, str]:
    """Say why a bound on epsilon is none, by the part that it is of."""
    found = {}
    if epsilon is not None and epsilon.undefined_reason:
        found["epsilon"] = epsilon.undefined_reason
    reasons = [] if canaries is None else [one.epsilon.undefined_reason for one in canaries.tiers]
    if first := next(filter(None, reasons), None):
        found["canaries"] = first
    return found


def _ceilings(epsilon: EpsilonResult | None, canaries: CanaryResult | None) -> dict[str, float]:
    """Return the most that coins and canaries can show, by the paths of their figures."""
    of_coins = {} if epsilon is None else ceilings_of_epsilon(epsilon)
    return of_coins if canaries is None else of_coins | ceilings_of_canaries(canaries)


def _canaries(text: str, path: str, sha256: str) -> Judged:
    """Take an audit of canaries alone for the part of an audit that it is."""
    found = from_text(text, CanaryResult, version=CANARIES_VERSION, what="audit of canaries")
    judged = _part("canaries", text, path, sha256, subject=found.target, missing=_void(None, found))
    return replace(judged, figures=with_ceilings(judged.figures, _ceilings(None, found)))


def _secrets(text: str, path: str, sha256: str) -> Judged:
    """Take ranked secrets for a part of an audit, which no audit runs by itself."""
    found = from_text(text, SecretsResult, version=SECRETS_VERSION, what="result of secrets")
    judged = _part("secrets", text, path, sha256, subject=found.target, missing={})
    return replace(judged, figures=with_ceilings(judged.figures, ceilings_of_secrets(found)))


def _part(key: Part, text: str, path: str, sha256: str, *, subject: str, missing: Mapping[str, str]) -> Judged:
    """Take a document for one part of an audit, by its key; no soundness check was run with it."""
    return Judged(
        path=path,
        sha256=sha256,
        kind="audit",
        subject=subject,
        soundness=None,
        vetoes=(),
        doubts=(),
        figures=catalogue({key: json.loads(text)}, (key,)),
        missing=missing,
        part=key,
    )


def _aliases(
    result: AuditResult, plain: Mapping[str, Any], figures: Mapping[str, tuple[Figure, ...]]
) -> dict[str, tuple[Figure, ...]]:
    """Name what people ask for: the attack declared before looking, the honest best one, the worst sample."""
    found: dict[str, tuple[Figure, ...]] = {}
    if result.selection is not None:
        for part in ("attacks", "retrained.attacks"):
            declared = f"{part}.{result.selection.headline}."
            for path in [path for path in figures if path.startswith(declared)]:
                found[f"{part}.headline.{path.removeprefix(declared)}"] = figures[path]
        (best,) = catalogue({"best_auc": plain["selection"]["best_auc"]})["best_auc"]
        words = "AUC of the best attack, chosen on other texts than it is measured on"
        found[BEST] = (replace(best, path=BEST, description=words),)
    if result.memorization is not None:
        found[LARGEST] = (_largest(result),)
    return found


def _largest(result: AuditResult) -> Figure:
    """Take the bits of the most memorized member; they are of one text, so there is nothing to be uncertain about."""
    samples = result.memorization.top_samples if result.memorization else ()
    ranked = sorted(((s.sample_id, s.signed_bits) for s in samples if s.is_member), key=lambda s: -s[1])
    figure = _counted(LARGEST, "bits of the most memorized member", ranked[0][1] if ranked else 0.0, ranked, "bits")
    if ranked:
        return replace(figure, n_members=result.data.members.n_samples)
    return replace(figure, value=None, low=None, high=None, undefined_reason="no member is ranked in this audit")


def _prediction(text: str, path: str, sha256: str) -> Judged:
    from pydantic import TypeAdapter, ValidationError

    try:
        found = TypeAdapter(Prediction).validate_json(text, strict=True)
        plain = json.loads(to_text(found))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ResultError(f"not a prediction: {where}: {first['msg']}"[:300]) from error
    except ValueError as error:
        raise ResultError(f"not a prediction: {error}") from error
    refuse_contradictions(found, "prediction")
    for part, one in (("law", found.law), ("reference_attack", found.reference_attack)):
        if not math.isclose(one.auc, auc_from_f1(min(1.0, max(0.0, one.f1))), abs_tol=1e-6):
            raise ResultError(f"not a prediction: it contradicts itself: {part}: its AUC is not that of its F1")
    return Judged(
        path=path,
        sha256=sha256,
        kind="prediction",
        subject=f"a plan of {found.params:,} parameters and {found.samples:,.0f} samples",
        soundness=None,
        vetoes=(),
        doubts=(),
        figures=catalogue(plain),
        missing={part: "not part of this prediction" for part, value in plain.items() if value is None},
    )


def _comparison(text: str, path: str, sha256: str) -> Judged:
    found = from_text(text, AuditComparison, version=COMPARISON_VERSION, what="comparison")
    return Judged(
        path=path,
        sha256=sha256,
        kind="comparison",
        subject=found.new.target,
        soundness=found.soundness,
        vetoes=(),
        change_vetoes=_vetoes(found),
        doubts=_doubts(found),
        figures=_changes(found),
        missing={"change": NOT_IN_BOTH},
        checksums=min((found.old.checksums, found.new.checksums), key=(None, "absent", "matched").index),
    )


@dataclass(frozen=True)
class _Ranked:
    """Where the figures of ranked secrets lie, so that their paths begin as those of an audit's parts do."""

    secrets: SecretsResult


@cache
def _known_paths() -> dict[Kind, list[PathPattern]]:
    """Return every path that a document of each kind may have; a change is named by what changed."""
    from attacks import BUILTIN

    names = "|".join(BUILTIN)
    entries = {"attack": rf"(?:headline|{ANY}|(?:{names})(?::.+?)?)"}
    prediction = list(Prediction.__dataclass_fields__)
    audit = path_patterns(AuditResult, AUDIT_PARTS, entries)
    compared = ("attacks.", "memorization.", "extraction.rate_", "extraction.greedy_rate_")
    changed = [_changed(pattern) for pattern in audit if pattern.example.startswith(compared)]
    return {
        "audit": [_exactly(BEST), _exactly(LARGEST), *audit, *path_patterns(_Ranked, ("secrets",), {})],
        "prediction": path_patterns(Prediction, prediction, {}),
        "comparison": [_exactly(APPEARED), *changed],
    }


def _exactly(path: str) -> PathPattern:
    return PathPattern(regex=re.escape(path), example=path)


def _changed(pattern: PathPattern) -> PathPattern:
    return PathPattern(regex=rf"change\.{pattern.regex}", example=f"change.{pattern.example}")


def kind_of_path(path: str) -> Kind | None:
    """Say in which kind of document a path may be found; None if in none."""
    for kind, patterns in _known_paths().items():
        if any(pattern.holds(path) for pattern in patterns):
            return kind
    return None


def may_exist() -> list[str]:
    """List an example of every path that some document may have."""
    return [pattern.example for patterns in _known_paths().values() for pattern in patterns]
