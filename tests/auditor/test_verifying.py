"""An audit is verified: whole ones match, and whatever is changed is found, as far as anything can find it."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.cli import cli
from auditor.documents.checksums import file_sha256, read_checksums, write_checksums
from auditor.documents.estimate import Estimate
from auditor.documents.extraction import ExtractionConfirmed
from auditor.documents.files import read_document
from auditor.documents.result import SCHEMA_VERSION, AuditResult, RetrainedResult
from auditor.verification.coverage import Evidence, unverified
from auditor.verification.verify import verify
from helpers import Run, make_texts, write_jsonl

Change = Callable[[dict[str, Any]], None]


def run_audit(world: dict[str, Path], out: Path, *more: object) -> None:
    options = {"target": world["target"], "reference": world["reference"], "members": world["members"],
               "non-members": world["non_members"], "out": out}  # fmt: skip
    flags = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
    cli.main(["audit", *flags, *map(str, more)], standalone_mode=False)


@pytest.fixture(scope="session")
def audited(
    tiny_models: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """Audit two tiny models, once, over texts of which some are nearly the same."""
    root = tmp_path_factory.mktemp("audited")
    world = {
        **tiny_models,
        "members": write_jsonl(root / "members.jsonl", make_texts(30, seed=1), prefix="m"),
        "non_members": write_jsonl(root / "non_members.jsonl", make_texts(30, seed=2), prefix="n"),
        "out": root / "out",
    }
    run_audit(world, world["out"])
    return world


@pytest.fixture
def copy(audited: dict[str, Path], tmp_path: Path) -> Path:
    """Return a copy of that audit to break."""
    shutil.copytree(audited["out"], tmp_path / "copy", ignore=shutil.ignore_patterns("scores"))
    return tmp_path / "copy"


def differing(folder: Path) -> list[str]:
    return [claim.name for claim in verify(folder).of("differs")]


def change_result(folder: Path, change: Change, *, cover_up: bool) -> None:
    file = folder / "result.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")
    if cover_up:
        write_checksums(folder, read_checksums(folder) or {})


def test_what_an_audit_wrote_matches(audited: dict[str, Path]) -> None:
    found = verify(audited["out"])
    assert not found.of("differs")
    names = {claim.name for claim in found.of("matches")}
    assert {"result.json", "samples.parquet", "report.html", "report.md", "samples", "data", "texts"} <= names
    assert {"attack loss", "attack reference", "bits"} <= names
    assert {f"target {audited['target']}", f"reference {audited['reference']}"} <= names
    assert {claim.name.removeprefix("the rest of ") for claim in found.of("not_checked")} == {
        "provenance", "data", "attacks", "memorization", "risk", "the rest",
    }  # fmt: skip
    assert all("not the intervals" not in claim.detail for claim in found.claims)


@pytest.mark.parametrize("place", ["result.json", "samples.parquet", "report.html", "report.md"])
def test_a_changed_byte_of_any_output_is_found(copy: Path, place: str) -> None:
    content = bytearray((copy / place).read_bytes())
    if place == "result.json":
        content += b" "
    else:
        content[len(content) // 2] ^= 1
    (copy / place).write_bytes(content)
    assert place in differing(copy)


def nudge(*path: str | int) -> Change:
    def change(document: Any) -> None:
        for key in path[:-1]:
            document = document[key]
        value = document[path[-1]]
        document[path[-1]] = value + 1 if isinstance(value, int) else value * (1 + 1e-6) + 1e-6

    return change


@pytest.mark.parametrize(
    ("change", "claim"),
    [
        (nudge("attacks", 0, "auc", "value"), "attack loss"),
        (nudge("attacks", 0, "auc", "high"), "attack loss"),
        (nudge("attacks", 1, "tpr_at_fpr", 2, "value"), "attack reference"),
        (nudge("attacks", 1, "advantage", "low"), "attack reference"),
        (nudge("attacks", 2, "p_value_holm"), "attack zlib"),
        (nudge("attacks", 2, "roc", "tpr", 3), "attack zlib"),
        (nudge("memorization", "debiased_bits_per_member", "high"), "bits"),
        (nudge("memorization", "information_lower_bound_per_member", "high"), "bits"),
        (nudge("memorization", "capacity_bits"), "bits"),
        (nudge("memorization", "n_parameters"), "bits"),
        (nudge("memorization", "signed_bits_histogram", "members", 1), "bits"),
        (nudge("memorization", "top_samples", 0, "signed_bits"), "bits"),
        (nudge("data", "members", "n_tokens"), "data"),
        (nudge("data", "non_members", "n_samples"), "data"),
        (nudge("risk", "members_above"), "data"),
        (lambda result: result["data"]["members"].update(sha256="0" * 64), "texts"),
        (lambda result: result["provenance"].update(samples_sha256="0" * 64), "samples"),
    ],
)
def test_a_changed_number_is_found_even_if_checksums_were_written_again(copy: Path, change: Change, claim: str) -> None:
    change_result(copy, change, cover_up=True)
    assert differing(copy) == [claim]


def test_a_changed_model_is_named(copy: Path, audited: dict[str, Path]) -> None:
    change_result(copy, lambda r: r["provenance"]["models"][0].update(weights_sha256="0" * 64), cover_up=True)
    assert differing(copy) == [f"target {audited['target']}"]


def test_another_table_of_samples_is_found(copy: Path) -> None:
    path = copy / "samples.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("score.loss")
    scores = np.array(table["score.loss"])[::-1]
    pq.write_table(table.set_column(place, "score.loss", pa.array(scores)), path)
    change_result(copy, lambda r: r["provenance"].update(samples_sha256=file_sha256(path)), cover_up=True)
    assert differing(copy) == ["attack loss"]


def test_a_table_that_lacks_a_column_or_is_none_differs(copy: Path) -> None:
    path = copy / "samples.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["score.zlib", "n_bytes"]), path)
    assert {"samples", "samples.parquet", "data", "attack zlib", "bits"} <= set(differing(copy))
    path.write_bytes(b"PAR1 not really")
    assert {"samples", "samples.parquet", "data"} <= set(differing(copy))


def test_what_is_not_here_is_said_not_guessed(copy: Path) -> None:
    change_result(copy, lambda r: r["config"]["members"].update(path="gone.jsonl"), cover_up=True)
    (copy / "checksums.json").unlink()
    (copy / "samples.parquet").unlink()
    found = verify(copy, models=False)
    assert {claim.name: claim.detail for claim in found.claims if not claim.name.startswith("the rest")} == {
        "files": "no checksums.json beside the result",
        "samples": "no samples.parquet beside the result: no figure can be computed again",
        "texts": "not here: gone.jsonl",
    }
    rest = next(claim.detail for claim in found.claims if claim.name == "the rest")
    assert {"attacks", "memorization"} <= set(rest.partition(":")[0].split(", "))


def test_changed_texts_are_found_and_not_shown(copy: Path, audited: dict[str, Path], tmp_path: Path) -> None:
    lines = audited["members"].read_text().splitlines()
    for name, content in {"other": lines[1:], "broken": [*lines[1:], '{"id": "m0", "text": 7}']}.items():
        (tmp_path / name).with_suffix(".jsonl").write_text("\n".join(content) + "\n")
        path = str(tmp_path / f"{name}.jsonl")
        change_result(copy, lambda r, path=path: r["config"]["members"].update(path=path), cover_up=True)
        assert differing(copy) == ["texts"]


@pytest.mark.slow
def test_intervals_that_rest_on_near_duplicates_are_left_alone_and_values_are_not(
    audited: dict[str, Path], tmp_path: Path
) -> None:
    texts = make_texts(20, seed=5, words=40)
    alike = [f"{text} Yes." for text in texts[:5]]
    world = audited | {"members": write_jsonl(tmp_path / "alike.jsonl", [*texts, *alike], prefix="m")}
    run_audit(world, tmp_path / "out")
    found = verify(tmp_path / "out")
    assert not found.of("differs")
    assert "not the intervals of auc" in next(claim.detail for claim in found.claims if claim.name == "attack loss")
    change_result(tmp_path / "out", nudge("attacks", 0, "auc", "value"), cover_up=True)
    assert differing(tmp_path / "out") == ["attack loss"]


def test_the_command_prints_every_claim_and_ends_with_2(run: Run, copy: Path, audited: dict[str, Path]) -> None:
    ran = run("verify", audited["out"] / "result.json")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"attack loss +matches +AUC 0\.\d{4}", ran.out)
    assert run("verify", audited["out"], "--json").document["claims"][0]["status"] == "matches"
    change_result(copy, nudge("attacks", 0, "auc", "value"), cover_up=False)
    ran = run("verify", copy, "--no-models", "--no-data")
    assert ran.code == 2
    assert re.search(r"attack loss +DIFFERS +auc\.value", ran.out)
    assert re.fullmatch(r"Error: 2 of \d+ claims of .* do not match; result\.json: .*\n", ran.err)
    ran = run("verify", copy, "--json")
    assert ran.code == 2
    assert {claim["status"] for claim in json.loads(ran.out)["claims"]} == {"matches", "differs", "not_checked"}


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot read the result document"), ("{}", "has no schema_version"), ("[", "not valid JSON")],
)
def test_what_is_no_result_is_refused(run: Run, tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    ran = run("verify", tmp_path)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_the_folder_of_a_curve_is_refused(tmp_path: Path, run: Run) -> None:
    (tmp_path / "curve.json").write_text("{}")
    assert "give the folder of one of them" in run("verify", tmp_path).err


def test_a_comparison_is_refused_and_an_audit_beside_it_is_not(tmp_path: Path, run: Run, copy: Path) -> None:
    for folder in (tmp_path, copy):
        (folder / "comparison.json").write_text("{}")
    for place in (tmp_path, tmp_path / "comparison.json"):
        assert "holds a comparison, and only audits are verified" in run("verify", place).err
    assert run("verify", copy, "--no-models", "--no-data").code == 0


def test_a_result_that_cannot_be_read_is_still_held_against_its_checksums(run: Run, copy: Path) -> None:
    def move(result: dict[str, Any]) -> None:
        result["attacks"][0]["auc"]["value"] = 2.0

    change_result(copy, move, cover_up=False)
    ran = run("verify", copy)
    assert ran.code == 2
    assert re.search(r"result\.json +DIFFERS +differs from checksums\.json", ran.out)
    assert re.search(r"result document +DIFFERS +.*", ran.out)
    assert "must lie in its interval" in " ".join(ran.out.split())
    assert re.fullmatch(r"Error: 2 of \d+ claims of .* result\.json: differs from checksums\.json .*\n", ran.err)
    write_checksums(copy, read_checksums(copy) or {})
    assert differing(copy) == ["result document"]


PART = RetrainedResult(
    path="m", weights_sha256="0" * 64, margin=0.02, finding="undecided", attacks=(),
    net_bits_per_member=Estimate.undefined("few", level=0.95),
)  # fmt: skip
CONFIRMED = ExtractionConfirmed(
    n_claims=0, n_generated=0, n_confirmed=0, rate=Estimate.undefined("no claims", level=0.95)
)


def test_every_field_of_a_result_is_checked_or_named(audited: dict[str, Path]) -> None:
    result = read_document(audited["out"] / "result.json", AuditResult, version=SCHEMA_VERSION, what="result")
    filled = replace(
        result,
        retrained=PART,
        **dict[str, Any](
            {f.name: {"n": 1} for f in fields(result) if f.name != "retrained" and not getattr(result, f.name)}
        ),
    )
    named = unverified(filled, ("samples", "texts", "models"))
    assert result.extraction is not None
    assert result.extraction.confirmed is None  # so that all of it is computed again
    assert set(named) == {f.name for f in fields(AuditResult)} - {"schema_version", "extraction"}
    confirmed = replace(filled, extraction=replace(result.extraction, confirmed=CONFIRMED))
    assert unverified(confirmed, ("samples",))["extraction"] == ["confirmed"]
    assert named["retrained"] == ["path", "margin", "finding", "net_bits_per_member"]
    assert {"epsilon_lower_bound", "auc_residualised", "summary", "params"} & set(named["attacks"])
    assert not {"auc", "roc", "p_value"} & set(named["attacks"])
    assert "members.n_cut" in named["data"]
    assert "members.sha256" not in named["data"]
    assert "members.sha256" in unverified(filled, SAMPLES)["data"]


def test_a_new_part_of_a_result_is_named_by_itself(audited: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Later(AuditResult):
        new: str = "figure"

    result = read_document(audited["out"] / "result.json", AuditResult, version=SCHEMA_VERSION, what="result")
    later = Later(**{f.name: getattr(result, f.name) for f in fields(AuditResult)})
    expected = unverified(result, SAMPLES) | {"new": []}
    monkeypatch.setattr("auditor.verification.coverage._ALWAYS", {Later: {"schema_version"}})
    assert unverified(later, SAMPLES) == expected


SAMPLES: tuple[Evidence, ...] = ("samples",)


def leaves(part: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Walk a document; of a list only the first entry."""
    if isinstance(part, dict):
        for key, inner in part.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(part, list) and part:
        yield from leaves(part[0], (*path, 0))
    elif isinstance(part, int | float) and not isinstance(part, bool):
        yield path


@pytest.mark.slow
def test_whatever_number_is_changed_differs_or_is_named_as_unverified(copy: Path) -> None:
    result = json.loads((copy / "result.json").read_text(encoding="utf-8"))
    kept = (copy / "result.json").read_bytes()
    named = unverified(read_document(copy / "result.json", AuditResult, version=SCHEMA_VERSION, what="result"), SAMPLES)
    unnoticed = []
    for path in leaves({part: result[part] for part, names in named.items() if names}):
        inner = ".".join(str(key) for key in path[1:] if key != 0)
        if any(f"{inner}.".startswith(f"{name}.") for name in named[str(path[0])]):
            continue
        change_result(copy, nudge(*path), cover_up=True)
        if not verify(copy, data=False, models=False).of("differs"):
            unnoticed.append(path)
        (copy / "result.json").write_bytes(kept)
    assert not unnoticed


def test_a_result_that_names_no_table_is_not_said_to_differ(copy: Path) -> None:
    change_result(copy, lambda result: result["provenance"].update(samples_sha256=None), cover_up=True)
    found = {claim.name: claim.status for claim in verify(copy, models=False, data=False).claims}
    assert found["samples"] == "not_checked"
    assert "differs" not in found.values()
