"""The verification of an audit: its claims computed again, as far as what they rest on is at hand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from ..config import DataSpec, ExtractSpec, ModelSpec
from ..data import load_samples
from ..documents.checksums import OUTPUTS, VERDICT, file_sha256, read_checksums
from ..documents.estimate import Estimate
from ..documents.extraction import ExtractionResult
from ..documents.files import read_document
from ..documents.result import (
    SCHEMA_VERSION,
    AttackResult,
    AuditResult,
    MemorizationResult,
    StandOutResult,
    TopSample,
)
from ..documents.salt import read_salt
from ..documents.sample_table import SampleColumns
from ..documents.verification import Claim, Verification
from ..engine.loading.models import open_model
from ..engine.loading.recorded import read_record
from ..engine.tokens import tokenizer_fingerprint
from ..errors import AuditError, ConfigError, DataError, ResultError
from ..estimates.code_lengths import SampleBits
from ..estimates.extraction import extraction
from ..estimates.generalization import KnowledgeBits, split_knowledge, uniform_bits
from ..estimates.memorization import dataset_memorization, top_samples, why_not_certified
from ..estimates.risk import count_stand_out
from ..laws.capacity import BitsPerParameter
from ..stats.metrics import evaluate
from ..stats.p_values import auc_p_values
from .coverage import Evidence, unverified
from .matching import RELATIVE, close, compare, inside, left_out, numbers
from .secrets import verify_secrets
from .verdict import verify_verdict

__all__ = ["verify"]


SECRETS = "secrets.json"
_OTHERS = {
    "curve.json": "the curve of several checkpoints; give the folder of one of them",
    "comparison.json": "a comparison, and only audits are verified; give the folder of one of its two audits",
}


def verify(path: Path, *, data: bool = True, models: bool = True) -> Verification:
    """Compute again what an audit claims.

    Parameters
    ----------
    path : Path
        ``result.json``, or its folder; or the verdict of an audit that stopped early (`verify_verdict`), or
        ``secrets.json`` (`verify_secrets`).
    data, models : bool
        Also read the texts, and hash the weights, where they still lie where the audit found them.

    Returns
    -------
    Verification
        Values and intervals are computed again from ``samples.parquet``; an interval that rests on clusters of
        near-duplicates cannot be, for which texts are alike is not written.

    Raises
    ------
    ConfigError, ResultError
        If there is no result, or it is not a result document.
    """
    _refuse_others(path)
    file = path / "result.json" if path.is_dir() else path
    if file.name == SECRETS or (path.is_dir() and not file.exists() and (path / SECRETS).is_file()):
        return verify_secrets(file.with_name(SECRETS), models=models)
    if file.name == VERDICT or (path.is_dir() and not file.exists() and (path / VERDICT).is_file()):
        return verify_verdict(file.with_name(VERDICT), models=models)
    samples = file.parent / "samples.parquet"
    claims = list(_files(file))
    try:
        result = read_document(file, AuditResult, version=SCHEMA_VERSION, what="result document")
    except ResultError as error:
        if all(claim.status == "not_checked" for claim in claims):
            raise
        claims.append(Claim(name="result document", status="differs", detail=str(error)))
        return Verification(result=str(file), claims=tuple(claims))
    claims += _samples(result, samples)
    by: list[Evidence] = ["samples"] if samples.is_file() else []
    if data:
        claims.append(_texts(result, samples))
        by.append("texts")
    if models:
        claims += _weights(result)
        by.append("models")
    return Verification(result=str(file), claims=(*claims, *_rest(result, by)))


def _refuse_others(path: Path) -> None:
    """Refuse what is not one audit."""
    for name, what in _OTHERS.items():
        only_holds_it = (path / name).is_file() and not (path / "result.json").is_file()
        if only_holds_it or (path.name == name and path.is_file()):
            raise ConfigError(f"{path} holds {what}")


def _rest(result: AuditResult, by: Sequence[Evidence]) -> Iterator[Claim]:
    """Name every part of the result that nothing above computed again."""
    parts = unverified(result, by)
    why = "not computed again; only a checksum of result.json can vouch for them"
    for part, names in parts.items():
        if names:
            yield _unknown(f"the rest of {part}", f"{', '.join(names)}: {why}")
    if whole := [part for part, names in parts.items() if not names]:
        yield _unknown("the rest", f"{', '.join(whole)}: {why}")


def _claim(name: str, differences: Sequence[str], fine: str) -> Claim:
    """Make a claim of what was compared: it differs if anything does."""
    if not differences:
        return Claim(name=name, status="matches", detail=fine)
    more = f" (and {len(differences) - 4} more)" if len(differences) > 4 else ""
    return Claim(name=name, status="differs", detail="; ".join(differences[:4]) + more)


def _unknown(name: str, why: str) -> Claim:
    return Claim(name=name, status="not_checked", detail=why)


def _files(file: Path) -> Iterator[Claim]:
    """Compare the files with the checksums beside them."""
    folder = file.parent
    try:
        stated = read_checksums(folder)
    except ResultError as error:
        yield Claim(name="checksums.json", status="differs", detail=str(error))
        return
    if stated is None:
        yield _unknown("files", "no checksums.json beside the result")
        return
    if absent := [name for name in ("result.json", "samples.parquet") if name not in stated]:
        yield Claim(name="checksums.json", status="differs", detail=f"does not vouch for {' and '.join(absent)}")
    for name in (name for name in OUTPUTS if name in stated):
        if not (folder / name).is_file():
            yield Claim(name=name, status="differs", detail="the file is gone")
        else:
            same = file_sha256(folder / name) == stated[name]
            yield _claim(name, [] if same else ["differs from checksums.json (SHA-256)"], "SHA-256 as written")


def _samples(result: AuditResult, path: Path) -> Iterator[Claim]:
    """Compute every figure again that follows from the rows of the samples."""
    if not path.is_file():
        yield _unknown("samples", "no samples.parquet beside the result: no figure can be computed again")
        return
    stated = result.provenance.samples_sha256
    other = [] if stated == file_sha256(path) else ["not the samples.parquet that the result names"]
    unnamed = _unknown("samples", "the result names no hash of samples.parquet")
    yield unnamed if stated is None else _claim("samples", other, "as the result says")
    makers: list[tuple[str, Callable[[SampleColumns], Claim]]] = [("data", lambda rows: _sides(result, rows))]
    makers += [
        (f"attack {attack.attack}", lambda rows, attack=attack: _attack(result, attack, rows))  # type: ignore[misc]
        for attack in result.attacks
    ]
    if result.memorization is not None:
        makers.append(("bits", lambda rows: _bits(result, rows)))
    if result.extraction is not None:
        makers.append(("extraction", lambda rows: _extraction(result, rows)))
    if result.risk is not None and result.risk.stand_out is not None:
        makers.append(("members who stand out", lambda rows: _stand_out(result, rows)))
    try:
        rows = SampleColumns(path)
    except ResultError:
        yield Claim(name="data", status="differs", detail="samples.parquet cannot be read")
        return
    for name, make in makers:
        try:
            yield make(rows)
        except (KeyError, ValueError, TypeError) as error:
            detail = f"samples.parquet lacks columns, or values, that this was made of ({type(error).__name__})"
            yield Claim(name=name, status="differs", detail=detail)


def _groups(rows: SampleColumns) -> tuple[str | None, ...] | None:
    """Units that the data named; near-duplicates, which join them, cannot be told without the texts."""
    named = rows.groups()
    return named if any(group is not None for group in named) else None


def _sides(result: AuditResult, rows: SampleColumns) -> Claim:
    """Compare sizes of the sides, and what is one number a sample."""
    found: list[str] = []
    ids, is_member = rows.strings("sample_id"), rows.flags("is_member")
    if len(set(ids)) != len(ids):
        found.append(f"{len(ids) - len(set(ids))} sample ids stand twice")
    for name, side, member in (("members", result.data.members, True), ("non_members", result.data.non_members, False)):
        here = is_member == member
        counts = {"n_samples": int(here.sum())}
        counts |= {key: int(rows.counts(key)[here].sum()) for key in ("n_bytes", "n_tokens")}
        for key, count in counts.items():
            given = 0 if side is None else getattr(side, key)
            if given != count:
                found.append(f"data.{name}.{key}: {given} stated, {count} found")
    if result.risk is not None and result.risk.members_above is not None:
        above = rows.numbers("posterior")[is_member] > 0.9
        if int(above.sum()) != result.risk.members_above:
            found.append(f"risk.members_above: {result.risk.members_above} stated, {int(above.sum())} found")
    return _claim("data", found, f"{len(ids)} samples; counts, bytes and tokens of both sides agree")


def _attack(result: AuditResult, attack: AttackResult, rows: SampleColumns) -> Claim:
    """Measure an attack again from its column of scores."""
    level, groups = float(result.config["confidence"]), _groups(rows)
    is_member = rows.flags("is_member")
    scores = {one.attack: rows.numbers(f"score.{one.attack}") for one in result.attacks}
    fpr_targets = [one.fpr for one in attack.tpr_at_fpr]
    rng = np.random.default_rng(0)
    measured = evaluate(scores[attack.attack], is_member, fpr_targets=fpr_targets, level=level, groups=groups, rng=rng)
    pairs = [
        ("auc", attack.auc, measured.auc),
        ("advantage", attack.advantage, measured.advantage),
        ("f1_equal_error", attack.f1_equal_error, measured.f1_equal_error),
    ]
    pairs += [
        (f"tpr_at_fpr {stated.fpr:g}", stated, found)
        for stated, found in zip(attack.tpr_at_fpr, measured.tpr_at_fpr, strict=True)
    ]
    name = f"attack {attack.attack}"
    asked = list(result.config.get("fpr_targets", fpr_targets))
    known = _clusters_are_known(result)
    bootstrapped = {"advantage"} if groups is not None else set[str]()  # by a generator that others used before
    differences, unsure = compare(pairs, known=known, unsure=bootstrapped)
    differences += [] if asked == fpr_targets else ["tpr_at_fpr: other false-positive rates than were asked for"]
    differences += inside("roc", attack.roc, measured.roc)
    left = [] if known else ["p_value", "p_value_holm", "inverted"]
    if known:
        p_value, p_holm = auc_p_values(scores, is_member, groups)[attack.attack]
        differences += numbers("p_value", attack.p_value, p_value)
        differences += numbers("p_value_holm", attack.p_value_holm, p_holm)
        if attack.inverted != measured.inverted:
            differences.append(f"inverted: {attack.inverted} stated, {measured.inverted} found")
    auc = "undefined" if attack.auc.value is None else f"{attack.auc.value:.4f}"
    return _claim(name, differences, f"AUC {auc} and the other figures{left_out(unsure, left)}")


def _stand_out(result: AuditResult, rows: SampleColumns) -> Claim:
    """Count the members who stand out again."""
    assert result.risk is not None
    stated, found = result.risk.stand_out, _stand_out_again(result, rows)
    assert stated is not None
    pairs = [("n_beyond_every_non_member", stated.n_beyond_every_non_member, found.n_beyond_every_non_member)]
    if stated.n_above_bits is not None and found.n_above_bits is not None:
        pairs.append(("n_above_bits", stated.n_above_bits, found.n_above_bits))
    pairs += [
        (f"n_identified {one.fpr:g}", one, again)
        for one, again in zip(stated.n_identified, found.n_identified, strict=True)
    ]
    differences, unsure = compare(pairs, known=_clusters_are_known(result))
    differences += numbers("threshold_bits", stated.threshold_bits, found.threshold_bits)
    if (stated.n_above_bits is None) != (found.n_above_bits is None):
        differences.append("n_above_bits: stated without bits, or left out with them")
    beyond = found.n_beyond_every_non_member.value
    shown = "none counted" if beyond is None else f"{beyond:.0f} beyond every non-member"
    return _claim("members who stand out", differences, f"{shown}, and the other counts{left_out(unsure, [])}")


def _stand_out_again(result: AuditResult, rows: SampleColumns) -> StandOutResult:
    if result.selection is None:
        raise KeyError("no headline attack is named")
    fprs = () if result.risk is None or result.risk.stand_out is None else result.risk.stand_out.n_identified
    return count_stand_out(
        rows.numbers(f"score.{result.selection.headline}"), rows.flags("is_member"),
        signed_bits=None if result.memorization is None else rows.numbers("signed_bits"), clusters=_groups(rows),
        fpr_targets=[one.fpr for one in fprs], level=float(result.config["confidence"]),
    )  # fmt: skip


def _bits(result: AuditResult, rows: SampleColumns) -> Claim:
    """Compute the bits of the samples and of the data set again."""
    stated = result.memorization
    assert stated is not None
    target, reference = rows.numbers("target_bits"), rows.numbers("reference_bits")
    bits = SampleBits(target=target, reference=reference)
    found: list[str] = []
    columns = {"signed_bits": bits.signed, "memorized_bits": bits.memorized}
    knowledge = None if stated.saved_bits_per_member is None else _knowledge(result, bits, rows)
    if knowledge is not None:
        columns |= {"uniform_bits": knowledge.uniform, "generalization_bits": knowledge.generalization}
    for name, values in columns.items():
        if n := int((~np.isclose(rows.numbers(name), values, rtol=RELATIVE, atol=1e-9)).sum()):
            found.append(f"samples: {name} of {n} samples is not what their bits give")
    again = _memorization_again(result, stated, bits, rows)
    if knowledge is not None:
        level = float(result.config["confidence"])
        again = split_knowledge(again, knowledge, rows.flags("is_member"), groups=_groups(rows), level=level)
    estimates = [f.name for f in fields(MemorizationResult) if isinstance(getattr(stated, f.name), Estimate)]
    left = [] if result.provenance.models[0].adapter is None else ["capacity_used"]
    known = _clusters_are_known(result)
    if not known:
        left.append("information_lower_bound_per_member")  # its folds keep clusters whole
    estimates = [name for name in estimates if name not in left]
    differences, unsure = compare([(f, getattr(stated, f), getattr(again, f)) for f in estimates], known=known)
    found += differences
    found += numbers("capacity_bits", stated.capacity_bits, again.capacity_bits)
    found += inside("signed_bits_histogram", stated.signed_bits_histogram, again.signed_bits_histogram)
    found += _top(stated, again)
    if result.provenance.models[0].n_parameters != stated.n_parameters:
        found.append("n_parameters: not that of the target")
    return _claim(
        "bits", found, f"bits of {len(target)} samples, totals and the most memorized{left_out(unsure, left)}"
    )


def _extraction(result: AuditResult, rows: SampleColumns) -> Claim:
    """Count again, from what the rows say of each sample, the texts that can be drawn out."""
    stated, found = result.extraction, rows.extraction()
    assert stated is not None
    if found is None:
        return Claim(name="extraction", status="differs", detail="samples.parquet says nothing of extraction")
    again = extraction(
        found,
        rows.flags("is_member"),
        cut=ExtractSpec(prefix=stated.prefix_tokens, suffix=stated.suffix_tokens),
        groups=_groups(rows),
        signed_bits=rows.numbers_if_any("signed_bits"),
        level=float(result.config["confidence"]),
    )
    if again is None:
        return Claim(name="extraction", status="differs", detail="no member of samples.parquet is long enough")
    pairs: list[tuple[str, Estimate, Estimate]] = []
    differences: list[str] = []
    for name, ours, theirs in _paired_parts(stated, again):
        if isinstance(ours, Estimate) and isinstance(theirs, Estimate):
            pairs.append((name, ours, theirs))
        elif ours != theirs:
            differences.append(f"{name}: {ours} stated, {theirs} found")
    more, unsure = compare(pairs, known=_clusters_are_known(result))
    counted = f"{stated.n_members} members and {stated.n_non_members} non-members, rates and draws"
    without = left_out([*unsure[:3], "others"] if len(unsure) > 3 else unsure, [])
    return _claim("extraction", [*differences, *more], f"{counted}{without}")


def _paired_parts(stated: ExtractionResult, again: ExtractionResult) -> Iterator[tuple[str, object, object]]:
    """Walk what both say, but for what only the models can tell."""
    for name in (one.name for one in fields(stated) if one.name not in ("confirmed", "tempered", "near_verbatim")):
        ours, theirs = getattr(stated, name), getattr(again, name)
        if not isinstance(ours, tuple):
            yield name, ours, theirs
        elif len(ours) != len(theirs):
            yield f"the length of {name}", len(ours), len(theirs)
        else:
            for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
                for part in (one.name for one in fields(one)):
                    yield f"{name}[{i}].{part}", getattr(one, part), getattr(other, part)


def _knowledge(result: AuditResult, bits: SampleBits, rows: SampleColumns) -> KnowledgeBits:
    """Set the code lengths that know nothing beside the models'; the compressor's are taken as written."""
    uniform = uniform_bits(rows.counts("n_tokens"), result.provenance.models[0].n_vocabulary)
    return KnowledgeBits(bits=bits, uniform=uniform, lzma=rows.numbers("lzma_bits"))


def _memorization_again(
    result: AuditResult, stated: MemorizationResult, bits: SampleBits, rows: SampleColumns
) -> MemorizationResult:
    is_member = rows.flags("is_member")
    ranked = top_samples(
        bits, is_member=is_member, sample_ids=rows.strings("sample_id"), text_sha256=rows.strings("text_sha256"),
        n_tokens=rows.counts("n_tokens"), texts=None,
    )  # fmt: skip
    return dataset_memorization(
        bits, is_member, groups=_groups(rows), n_tokens=rows.counts("n_tokens"), n_bytes=rows.counts("n_bytes"),
        n_references=stated.n_references, n_parameters=stated.n_parameters,
        capacity=BitsPerParameter(stated.bits_per_parameter, stated.bits_per_parameter_source),
        level=float(result.config["confidence"]), rng=np.random.default_rng(int(result.config["seed"])),
        samples=ranked, not_certified=why_not_certified(result.soundness),
        stand_out=None if stated.n_beyond_every_non_member is None else _stand_out_again(result, rows),
    )  # fmt: skip


def _top(stated: MemorizationResult, again: MemorizationResult) -> list[str]:
    """Compare the most memorized samples, whose order among equal bits is nobody's claim."""
    if len(stated.top_samples) != len(again.top_samples):
        return [f"top_samples: {len(stated.top_samples)} stated, {len(again.top_samples)} found"]
    return [
        f"top_samples[{i}] is not the row of samples.parquet"
        for i, (one, other) in enumerate(zip(stated.top_samples, again.top_samples, strict=True))
        if _row(one) != _row(other)
        or not close(one.signed_bits, other.signed_bits)
        or not close(one.memorized_bits, other.memorized_bits)
    ]


def _row(one: TopSample) -> tuple[str, str, bool, int]:
    return one.sample_id, one.text_sha256, one.is_member, one.n_tokens


def _clusters_are_known(result: AuditResult) -> bool:
    """Whether no texts are so alike that they made clusters: which ones did is not written."""
    figures = {} if result.soundness is None else {check.name: check.figure for check in result.soundness.checks}
    alike = [figures.get(name, 0.0) for name in ("overlap", "near_duplicates", "near_duplicates_within")]
    return "near_duplicates_within" in figures and not any(alike)


def _texts(result: AuditResult, samples: Path) -> Claim:
    """Read the texts again, if they still lie where they were."""
    sides = {name: result.config.get(name) for name in ("members", "non_members")}
    specs = {name: DataSpec(**side) for name, side in sides.items() if side is not None}
    if gone := [spec.path for spec in specs.values() if not Path(spec.path).exists()]:
        return _unknown("texts", f"not here: {', '.join(gone)}")
    dropped = result.config.get("drop_ids")
    if dropped is not None and not Path(dropped).exists():
        return _unknown("texts", f"the list of samples left out is not here: {dropped}")
    salt_file = result.config.get("salt")
    if salt_file is not None and not Path(salt_file).exists():
        return _unknown("texts", f"the salt of their hashes is not here: {salt_file}")
    try:
        salt = read_salt(salt_file)
        keyed = str if salt is None else salt.keyed
        data = load_samples(specs["members"], specs.get("non_members"), drop=None if dropped is None else Path(dropped))
    except (ConfigError, DataError) as error:
        return Claim(name="texts", status="differs", detail=str(error))
    found = [
        f"{name}: other texts or ids than were audited (SHA-256)"
        for name, side in (("members", result.data.members), ("non_members", result.data.non_members))
        if side is not None and keyed(data.sha256("members" if name == "members" else "non_members")) != side.sha256
    ]
    if samples.is_file() and not found:
        try:
            rows = SampleColumns(samples)
            same = tuple(data.ids) == rows.strings("sample_id")
            same = same and tuple(map(keyed, data.text_sha256)) == rows.strings("text_sha256")
        except (ResultError, KeyError, ValueError):  # told already
            same = True
        found += [] if same else ["the rows of samples.parquet are not those of the texts"]
    return _claim("texts", found, f"{len(data)} texts and ids as audited (SHA-256)")


def _weights(result: AuditResult) -> Iterator[Claim]:
    """Hash the weights and tokenizers again of models that are at hand."""
    models: list[tuple[str, ModelSpec, str, str | None]] = []
    for one in result.provenance.models:
        spec = ModelSpec(path=one.path, revision=one.revision, adapter=one.adapter, tokenizer=one.tokenizer)
        models.append((one.role, spec, one.weights_sha256, one.tokenizer_sha256))
    retrained = result.config.get("retrained")
    if result.retrained is not None and retrained is not None:
        models.append(("retrained", ModelSpec(**retrained), result.retrained.weights_sha256, None))
    for role, spec, weights, tokenizer in models:
        name = f"{role} {spec}"
        if not Path(spec.path).exists():
            yield _unknown(name, "not a file or folder here; nothing is fetched to check it")
            continue
        try:
            files = open_model(spec, fetch=False)
        except AuditError as error:
            yield _unknown(name, str(error))
            continue
        if read_record(files.source) is not None:
            yield _unknown(name, "only a record of what its weights hash to is here, not the weights")
            continue
        found = [] if files.weights_sha256 == weights else ["other weights than were audited (SHA-256)"]
        if tokenizer is not None and tokenizer_fingerprint(files.tokenizer) != tokenizer:
            found.append("another tokenizer than was used")
        yield _claim(name, found, "weights and tokenizer as audited (SHA-256)")
