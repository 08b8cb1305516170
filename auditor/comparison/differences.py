"""Differences of two audits besides the figures, and which of them could pass for a change of the model."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any

from ..config import AuditConfig
from ..documents.comparison import Difference, Effect, LeftOut
from ..documents.result import AttackResult, AuditResult, ModelProvenance, SideData

__all__ = ["comparable_attacks", "differences"]


LONGEST = 300
SOURCES = ("target", "references", "members", "non_members", "dtype")
"""Keys of a configuration that the models and the data describe better."""

SCORED = "texts are scored otherwise, so bits and attacks differ for that reason too"
CONDITIONED = "attacks that use it differ for that reason too"
CAUTIONS = {
    "max_tokens": SCORED,
    "long_texts": SCORED,
    "score": SCORED,
    "chat_template": SCORED,
    "shots": CONDITIONED,
    "member_shots": CONDITIONED,
    "neighbour_model": CONDITIONED,
    "neighbours": CONDITIONED,
    "frequency_corpus": CONDITIONED,
    "extract": "other tokens are asked for, so rates of extraction differ for that reason too",
    "shadows": "they serve as references, so bits and attacks differ for that reason too",
}
"""Options that change scores without a change of the target."""

DEFAULTS = {field.name: field.default for field in fields(AuditConfig) if field.default is not MISSING}
"""What an option is in an audit that is older than the option."""


def comparable_attacks(old: AuditResult, new: AuditResult) -> tuple[list[str], list[LeftOut]]:
    """Find the attacks that both audits ran alike, in the order of the newer one.

    Returns
    -------
    labels : list of str
    left_out : list of LeftOut
        The other attacks of either audit.
    """
    ours, theirs = ({attack.attack: attack for attack in result.attacks} for result in (old, new))
    labels, left_out = [], []
    for label, attack in theirs.items():
        reason = _other_attack(ours.get(label), attack)
        if reason is None:
            labels.append(label)
        else:
            left_out.append(LeftOut(what=label, reason=reason))
    left_out += [LeftOut(what=label, reason="only the old audit ran it") for label in ours if label not in theirs]
    return labels, left_out


def _other_attack(old: AttackResult | None, new: AttackResult) -> str | None:
    if old is None:
        return "only the new audit ran it"
    if (old.name, _written(old.params)) != (new.name, _written(new.params)):
        return (
            f"its parameters were {_written(old.params)} and are {_written(new.params)}: the scores mean other things"
        )
    return None


def differences(old: AuditResult, new: AuditResult) -> tuple[Difference, ...]:
    """List what differs between two audits: models, how they were scored, texts, options, versions, soundness.

    A soundness check that forbids a verdict is listed even if it does so in both.
    """
    return tuple(found for found in _all(old, new) if found.old != found.new or found.effect == "diagnosis")


def _all(old: AuditResult, new: AuditResult) -> Iterator[Difference]:
    yield from _soundness(old, new)
    yield from _targets(_models(old, "target")[0], _models(new, "target")[0])
    yield from _references(_models(old, "reference"), _models(new, "reference"))
    yield from _data(old, new)
    ours, theirs = (DEFAULTS | dict(result.config) for result in (old, new))
    without_extraction = {"extract"} if None in (old.extraction, new.extraction) else set()
    for key in sorted({*old.config, *new.config}.difference(SOURCES)):
        meaning = "" if key in without_extraction else CAUTIONS.get(key, "")
        yield _difference(f"option {key}", ours.get(key), theirs.get(key), meaning)
    yield _difference(
        "scoring version",
        old.provenance.scoring_version,
        new.provenance.scoring_version,
        "the auditor computes scores otherwise, so bits and attacks differ for that reason too",
    )
    yield _difference("auditor version", old.provenance.auditor_version, new.provenance.auditor_version)
    before, after = old.provenance.packages, new.provenance.packages
    for name in sorted({*before, *after}):
        yield _difference(f"package {name}", before.get(name), after.get(name))


def _soundness(old: AuditResult, new: AuditResult) -> Iterator[Difference]:
    ours, theirs = (None if result.soundness is None else result.soundness.verdict for result in (old, new))
    which = [name for name, verdict in (("old", ours), ("new", theirs)) if verdict == "veto"]
    meaning = f"a check forbids a verdict on the {' and the '.join(which)} audit" if which else ""
    yield _difference("soundness", ours, theirs, meaning, effect="diagnosis")


def _targets(old: ModelProvenance, new: ModelProvenance) -> Iterator[Difference]:
    for name in ("path", "revision", "adapter", "weights_sha256", "architecture", "n_parameters", "stored_dtype"):
        yield _difference(f"target {_spoken(name)}", getattr(old, name), getattr(new, name))
    yield _difference(
        "target tokenizer",
        old.tokenizer_sha256,
        new.tokenizer_sha256,
        "bits of a text still compare, attacks on single tokens see other tokens",
    )
    yield from _scored_alike("target", old, new)


def _scored_alike(role: str, old: ModelProvenance, new: ModelProvenance) -> Iterator[Difference]:
    """Compare how a model was run."""
    shifted = "every log-probability moves a little for that reason"
    yield _difference(f"{role} precision while scoring", old.dtype, new.dtype, shifted)
    ours, theirs = (f"{model.prefix_rule} {list(model.prefix_token_ids)}" for model in (old, new))
    yield _difference(
        f"{role} prefix rule", ours, theirs, "what stands before a text differs, and so does its first token"
    )
    yield _difference(f"{role} device", old.device, new.device)
    yield _difference(f"{role} scoring path", old.scoring_path, new.scoring_path)


def _references(old: list[ModelProvenance], new: list[ModelProvenance]) -> Iterator[Difference]:
    """Compare the references, whatever their order."""
    meaning = "bits and attacks that use a reference differ for that reason too"
    ours, theirs = (sorted(model.weights_sha256 for model in models) for models in (old, new))
    yield _difference("reference weights", ", ".join(ours) or None, ", ".join(theirs) or None, meaning)
    by_weights = {model.weights_sha256: model for model in old}
    for model in new:
        if model.weights_sha256 in by_weights:
            yield from _scored_alike(f"reference {model.path}", by_weights[model.weights_sha256], model)


def _data(old: AuditResult, new: AuditResult) -> Iterator[Difference]:
    for name in ("members", "non_members"):
        ours: SideData | None = getattr(old.data, name)
        theirs: SideData | None = getattr(new.data, name)
        role = name.replace("_", "-")
        for key in ("sha256", "n_samples", "n_bytes", "n_cut", "n_dropped", "path"):
            yield _difference(f"{role} {_spoken(key)}", getattr(ours, key, None), getattr(theirs, key, None))
    windowed = "stride" in (old.data.long_texts, new.data.long_texts)
    meaning = SCORED if windowed else ""  # where texts are cut instead, other cuts are not paired
    yield _difference("window in tokens", old.data.window_tokens, new.data.window_tokens, meaning)


def _models(result: AuditResult, role: str) -> list[ModelProvenance]:
    return [model for model in result.provenance.models if model.role == role]


def _difference(what: str, old: object, new: object, meaning: str = "", *, effect: Effect = "caution") -> Difference:
    return Difference(
        what=what, old=_written(old), new=_written(new), effect=effect if meaning else "none", meaning=meaning
    )


def _spoken(name: str) -> str:
    names = {"weights_sha256": "weights", "sha256": "texts (SHA-256)", "n_parameters": "parameters"}
    return names.get(name, name.removeprefix("n_").replace("_", " "))


def _written(value: object) -> str:
    """Write a value so that equal ones are equal texts."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value
    text = json.dumps(_sorted(value), sort_keys=True)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def _sorted(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
