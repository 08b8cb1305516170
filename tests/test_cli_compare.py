"""``auditor compare`` from end to end: two audits of tiny models, their files, exit codes and what stays private."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

import helpers_audits
from auditor.cli import cli
from auditor.comparison.differences import differences
from auditor.documents.comparison import COMPARISON_VERSION, read_comparison
from helpers import Run, make_texts, save_gpt2, write_jsonl

ROOT = Path(__file__).parents[1]
SECRET = "Ada"  # in every text of the tiny data


@pytest.fixture(scope="module")
def audits(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_models: dict[str, Path],
    tiny_data: dict[str, Path],
) -> dict[str, Path]:
    """Audit two targets on the same texts, one of them with other settings too, and one on other texts.

    The headline is the loss, as the untrained targets' AUC of the other attack lies below one half by chance.
    """
    root = tmp_path_factory.mktemp("audits")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_models["target"])
    later = save_gpt2(root / "later", seed=7, tokenizer=tokenizer)
    other = {
        side: write_jsonl(root / f"{side}.jsonl", make_texts(30, seed=seed), prefix=side)
        for side, seed in (("m", 5), ("n", 6))
    }

    def audit(name: str, target: Path, members: Path, non_members: Path, *more: object) -> Path:
        arguments = ["audit", "--target", target, "--reference", tiny_models["reference"], "--out", root / name,
                     "--members", members, "--non-members", non_members, "--fpr", "0.1",
                     "--attack", "loss", "--attack", "reference", "--headline", "loss", *more]  # fmt: skip
        ran = CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)
        assert ran.exit_code == 0, ran.output
        return root / name

    sides = tiny_data["members"], tiny_data["non_members"]
    return {
        "old": audit("old", tiny_models["target"], *sides),
        "new": audit("new", later, *sides),
        "cut": audit("cut", later, *sides, "--max-tokens", 12),
        "other": audit("other", later, other["m"], other["n"]),
    }


def test_a_comparison_is_printed_and_written(run: Run, audits: dict[str, Path], tmp_path: Path) -> None:
    ran = run("compare", audits["old"], audits["new"], "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "Compared:" in ran.out
    assert "AUC of reference" in ran.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("comparison.json", "comparison.html", "comparison.md")
    }
    document = json.loads((tmp_path / "out" / "comparison.json").read_text())
    jsonschema.validate(document, json.loads((ROOT / "docs" / "comparison.schema.json").read_text()))
    found = read_comparison(tmp_path / "out" / "comparison.json")
    assert found.reading == "sound"
    assert {one.what for one in found.differences} == {"target path", "target weights"}
    assert (found.pairing.n_members, found.pairing.n_non_members) == (30, 30)
    results = [json.loads((audits[name] / "result.json").read_text()) for name in ("old", "new")]
    for row in found.changes:
        old, new = (_figure(result, row.metric) for result in results)
        assert (row.old.value, row.new.value) == pytest.approx((old, new)), row.metric  # all samples are in both
        assert row.change.value == pytest.approx(new - old), row.metric
    for path in (tmp_path / "out").iterdir():
        assert SECRET not in path.read_text(), path
    assert SECRET not in ran.out


def _figure(result: dict[str, Any], metric: str) -> float:
    part, name, *rest = metric.split(".")
    if part in ("memorization", "extraction"):
        return result[part][name]["value"]
    attack = next(one for one in result[part] if one["attack"] == name)
    if rest[0] == "auc":
        return attack["auc"]["value"]
    return next(one["value"] for one in attack["tpr_at_fpr"] if f"{one['fpr']:g}" == ".".join(rest[1:]))


def test_json_prints_the_document_and_nothing_else(run: Run, audits: dict[str, Path]) -> None:
    ran = run("compare", audits["old"], audits["new"] / "result.json", "--json", "--confidence", "0.9")
    assert ran.err == ""
    assert ran.document["level"] == 0.9
    assert ran.document["schema_version"] == COMPARISON_VERSION
    assert [ran.document[which]["checksums"] for which in ("old", "new")] == ["matched", "matched"]


def test_an_audit_beside_itself(run: Run, audits: dict[str, Path]) -> None:
    ran = run("compare", audits["new"], audits["new"])
    assert ran.code == 0
    assert "No change beyond chance" in ran.out
    quiet = run("compare", audits["new"], audits["new"], "--quiet")
    assert quiet.out.startswith("● No change beyond chance: Both audits are of the same target weights")
    assert (quiet.out.count("\n"), quiet.err) == (1, "")


def test_other_settings_are_told_before_the_figures_are_believed(run: Run, audits: dict[str, Path]) -> None:
    found = run("compare", audits["new"], audits["cut"], "--json").document
    assert found["reading"] == "caution"
    assert {one["what"]: one["effect"] for one in found["differences"]}["option max_tokens"] == "caution"
    assert found["pairing"]["n_cut_differently"] > 0


def test_other_texts_are_compared_unpaired(run: Run, audits: dict[str, Path]) -> None:
    found = run("compare", audits["old"], audits["other"], "--json").document
    assert not found["pairing"]["paired"]
    assert all("not paired" in row["change"]["method"] for row in found["changes"])
    assert "Not paired" in run("compare", audits["old"], audits["other"]).out


def test_what_cannot_be_compared_is_an_error_of_one_line(run: Run, audits: dict[str, Path], tmp_path: Path) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(audits["old"], mixed, ignore=shutil.ignore_patterns("scores"))
    shutil.copy(audits["new"] / "samples.parquet", mixed)
    for arguments, message in (
        ((audits["old"], tmp_path / "none"), "does not exist"),
        ((audits["old"], mixed), "does not belong to the result.json beside it"),
        ((audits["old"], audits["new"], "--confidence", "95"), "a percentage? use 0.95"),
        ((audits["old"],), "Missing argument 'NEW'"),
    ):
        ran = run("compare", *arguments)
        assert ran.code == 2
        assert ran.out == ""
        assert message in ran.err
        assert ran.err.startswith("Error: ")
        assert ran.err.count("\n") == 1


def test_a_gate_judges_a_comparison(run: Run, audits: dict[str, Path], tmp_path: Path) -> None:
    assert run("compare", audits["old"], audits["new"], "--out", tmp_path).code == 0
    for most, code in ((1.0, 0), (-1.0, 1)):
        policy = tmp_path / "policy.toml"
        text = f'version = 1\n[[gate]]\nname = "auc"\nmetric = "change.attacks.reference.auc"\nmax = {most}\n'
        policy.write_text(text, encoding="utf-8")
        assert run("gate", tmp_path / "comparison.json", "--policy", policy).code == code
        assert run("gate", audits["new"], "--baseline", audits["old"], "--policy", policy).code == code


NO_WORSE = 'version = 1\n[[gate]]\nname = "no-worse"\nmetric = "change.attacks.headline.auc"\nmax = 0.9\n'


def test_a_gate_on_a_change_is_given_what_can_be_compared(run: Run, audits: dict[str, Path], tmp_path: Path) -> None:
    """The same texts pass; other ones are refused by the audit, its baseline and the comparison alike."""
    policy = tmp_path / "policy.toml"
    policy.write_text(NO_WORSE)
    for name, code, outcome in (("new", 0, "pass"), ("other", 1, "refused")):
        assert run("compare", audits["old"], audits[name], "--out", tmp_path / name).code == 0
        by_baseline = run("gate", audits[name], "--policy", policy, "--baseline", audits["old"], "--json")
        by_document = run("gate", tmp_path / name, "--policy", policy, "--json")
        for ran in (by_baseline, by_document):
            found = json.loads(ran.out)
            assert (ran.code, found["passed"], found["checksums"]) == (code, code == 0, "matched")
            assert found["gates"][0]["outcome"] == outcome
            assert ("other texts" in found["gates"][0]["reason"]) == (code == 1)


def test_audits_that_their_checksums_contradict_are_not_compared(
    run: Run, audits: dict[str, Path], tmp_path: Path
) -> None:
    policy, old = tmp_path / "policy.toml", tmp_path / "old"
    policy.write_text(NO_WORSE)
    shutil.copytree(audits["old"], old)
    result = json.loads((old / "result.json").read_text())
    (old / "result.json").write_text(json.dumps(result | {"warnings": ["edited"]}))
    for command in (
        ("compare", old, audits["new"]),
        ("compare", audits["new"], old),
        ("gate", audits["new"], "--policy", policy, "--baseline", old),
    ):
        ran = run(*command)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert "old/result.json is not the file that checksums.json beside it vouches for" in ran.err
    (old / "checksums.json").unlink()
    ran = run("compare", old, audits["new"])
    assert ran.code == 0
    assert "no checksums.json lay beside the old audit" in " ".join(ran.out.split())
    ran = run("gate", audits["new"], "--policy", policy, "--baseline", old, "--json")
    assert (ran.code, ran.document["checksums"]) == (0, "absent")
    newer = result | {"schema_version": "9.0"}
    (old / "result.json").write_text(json.dumps(newer))
    assert "schema 9.0 is newer" in run("gate", audits["new"], "--policy", policy, "--baseline", old).err


def test_an_audit_older_than_an_option_was_scored_by_its_default() -> None:
    """A key that ``config`` lacks is no other way to score; a value besides the default is."""
    old = replace(helpers_audits.build(), extraction=None)
    new_options = {"score": "completion", "extract": "auto", "confirm_extraction": None, "delta": 0.0}
    assert not new_options.keys() & old.config.keys()

    def options(**changed: object) -> dict[str, str]:
        new = replace(old, config={**old.config, **new_options, **changed}, extraction=helpers_audits.extraction())
        return {one.what: one.effect for one in differences(old, new) if one.what.startswith("option ")}

    assert options() == {}
    assert options(score="all", extract="8/8") == {"option score": "caution", "option extract": "none"}
