"""``auditor secrets`` from the command line: what it prints and writes, what it refuses, and what it never says."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import auditor
from auditor.documents.files import to_text
from auditor.phases import SECRETS
from helpers import Ran, write_jsonl

Run = Callable[..., Ran]
IBAN, KEY, MAIL = "DE89370400440532013000", "sk-9f8e7d6c5b4a39281706", "xan.q77@example.org"
PIN = "7093"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    texts = [f"pay {IBAN} soon", f"key {KEY} {MAIL} new", "nothing at all"]
    return write_jsonl(tmp_path / "texts.jsonl", texts)


def test_secrets_are_ranked_and_never_shown(run: Run, tmp_path: Path, data: Path, tiny_models: dict[str, Path]) -> None:
    out, hidden = tmp_path / "out", (IBAN, KEY, MAIL, IBAN[4:], KEY[3:], MAIL.split("@")[0])
    models = ("--target", tiny_models["target"], "--reference", tiny_models["reference"])
    ran = run("secrets", *models, "--members", data, "--out", out, "--unknown", 3)
    assert ran.code == 0, ran.err
    assert "of 3 secrets" in ran.out
    assert set(SECRETS) <= set(ran.begun)
    pages = []
    for form in ("html", "md", "json"):
        told = run("report", out, "--format", form)
        assert told.code == 0, told.err
        pages.append(told.out)
    files = [file.read_text() for file in out.rglob("*") if file.is_file()]
    assert [file.name for file in out.rglob("*")] == ["secrets.json"]
    for said in (ran.out, ran.err, *pages, *files):
        assert not [secret for secret in hidden if secret in re.sub(r"\s", "", said)]
    found = json.loads(files[0])
    schema = json.loads((Path(__file__).parents[1] / "docs" / "secrets.schema.json").read_text())
    jsonschema.validate(found, schema)
    assert sorted((one["id"], one["kind"], one["exact"]) for one in found["secrets"]) == [
        ("s0", "iban", True), ("s1#1", "email", True), ("s1#2", "key", True),
    ]  # fmt: skip
    assert (found["n_texts"], found["n_texts_without"]) == (3, 1)
    by_kind = {one["kind"]: one["n_ranked"] + 1 for one in found["secrets"]}
    assert by_kind["email"] == 26 * 10 * 10
    assert by_kind["key"] == 16**3
    assert by_kind["iban"] in (10, 11)  # every 97th of a thousand
    for said in (ran.out, *pages[:2]):
        assert "1.44" in said  # the null beside the values
    assert json.loads(pages[2]) == found


def test_same_seed_same_document_and_gates(run: Run, tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    data = write_jsonl(tmp_path / "texts.jsonl", [f"the pin is {PIN} now"], secret=[PIN])
    options = ("--target", tiny_models["target"], "--members", data, "--unknown", 2)
    ran = run("secrets", *options, "--out", tmp_path / "a", "--json")
    assert ran.code == 0, ran.err
    again = run("secrets", *options, "--out", tmp_path / "b", "--json")
    found = json.loads(ran.out)
    assert found == json.loads(again.out)
    (one,) = found["secrets"]
    assert (one["n_ranked"], one["exact"], one["space_bits"]) == (99, True, pytest.approx(6.643856))
    assert one["exposure"]["low"] == one["exposure"]["high"]
    assert found["mean_bits_beyond_reference"]["undefined_reason"] == "no reference was given"
    assert any("without a reference" in warning for warning in found["warnings"])
    policy = tmp_path / "policy.toml"
    for most, code in ((0, 0), (-1, 1)):
        policy.write_text(f'version = 1\n[[gate]]\nname = "held"\nmetric = "secrets.n_held"\nmax = {most}\n')
        judged = run("gate", tmp_path / "a", "--policy", policy)
        assert judged.code == code, judged.out + judged.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--find", "passport"), "no pattern is named 'passport'; the patterns are iban, card, email, key, phone"),
        (("--find", "card"), "no secret in 3 texts"),
        (("--fills", "exact"), "a space of more than 1,000,000 members"),
        (("--fills", "many"), "--fills must be auto, exact, or a number such as 10000, got 'many'"),
        (("--fills", "100"), "from 10,000 to 1,000,000, got 100"),
        (("--unknown", "0"), "--unknown must be at least 1"),
        (("--members", "nowhere.jsonl"), "nowhere.jsonl: no such file"),
    ],
)
def test_wrong_input_gets_one_line(
    run: Run, tmp_path: Path, data: Path, tiny_models: dict[str, Path], options: tuple[str, ...], says: str
) -> None:
    given = ("--target", tiny_models["target"], "--members", data, "--out", tmp_path / "out", *options)
    ran = run("secrets", *given)
    assert ran.code == 2
    (line,) = ran.err.strip().splitlines()
    assert says in line
    assert not (tmp_path / "out").exists()
    assert IBAN not in line


def test_secret_that_is_not_there_is_named_by_its_text(run: Run, tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    data = write_jsonl(tmp_path / "texts.jsonl", ["the pin is 1234 now", "pin 55"], secret=[PIN, "55"])
    ran = run("secrets", "--target", tiny_models["target"], "--members", data, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "the secret does not occur in its text, where it has to stand letter for letter: s0" in ran.err
    assert PIN not in ran.err


def test_secret_with_nothing_before_it_is_refused(run: Run, tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    data = write_jsonl(tmp_path / "texts.jsonl", [f"{PIN} is it"], secret=[PIN])
    options = ("--target", tiny_models["target"], "--members", data, "--prefix-token", "none", "--unknown", 4)
    ran = run("secrets", *options, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "a secret begins its text and no token stands before it; give one with --prefix-token" in ran.err


def test_a_space_of_more_than_a_million_is_sampled(run: Run, tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    """Seven digits: 10^7 strings, of which the fills are random ones, with the interval of their share."""
    data = write_jsonl(tmp_path / "texts.jsonl", ["the number is 7093512 now"], secret=["7093512"])
    out = tmp_path / "out"
    ran = run("secrets", "--target", tiny_models["target"], "--members", data, "--out", out, "--fills", "10000")
    assert ran.code == 0, ran.err
    (one,) = json.loads((out / "secrets.json").read_text())["secrets"]
    assert (one["exact"], one["n_ranked"], one["n_unknown"]) == (False, 10_000, 7)
    assert one["space_bits"] == pytest.approx(7 * 3.321928, abs=1e-5)
    assert one["largest_exposure"] == pytest.approx(13.287712, abs=1e-5)
    assert one["exposure"]["low"] < one["exposure"]["high"] <= one["space_bits"]
    assert one["exposure"]["value"] == pytest.approx(13.287712 - np.log2(1 + one["n_before"]), abs=1e-5)
    told = run("report", out, "--format", "md")
    assert f"\u2248 {one['n_before'] + 1:,} of 10,001" in told.out


def test_several_checkpoints_are_followed(run: Run, tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    for number, name in ((1, "reference"), (20, "target")):
        (tmp_path / f"checkpoint-{number}").symlink_to(tiny_models[name])
    data = write_jsonl(tmp_path / "texts.jsonl", ["pin 7093 now", "pin 1188 soon"], secret=["7093", "1188"])
    options = ("--target", str(tmp_path / "checkpoint-*"), "--members", data, "--unknown", 2, "--out", tmp_path / "out")
    ran = run("secrets", *options, "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert [one["label"] for one in found["points"]] == ["checkpoint-1", "checkpoint-20"]
    assert found["points"][0]["exposure_change"] is None
    each = [json.loads((tmp_path / "out" / f"checkpoint-{n}" / "secrets.json").read_text()) for n in (1, 20)]
    means = [one["mean_exposure"]["value"] for one in each]
    assert found["points"][1]["exposure_change"]["value"] == pytest.approx(means[1] - means[0])
    assert "7093" not in (tmp_path / "out" / "secrets-changes.html").read_text()


def test_programs_rank_secrets_in_memory(tmp_path: Path, run: Run, tiny_models: dict[str, Path]) -> None:
    rows = {"text": ["pin 7093 now"], "secret": ["7093"], "id": ["a"]}
    data = write_jsonl(tmp_path / "texts.jsonl", rows["text"], secret=rows["secret"], id=rows["id"])
    ran = run("secrets", "--target", tiny_models["target"], "--members", data, "--unknown", 2, "--out", tmp_path / "o",
              "--json")  # fmt: skip
    found = auditor.rank_secrets(str(tiny_models["target"]), members=rows, unknown=2, progress=False)
    assert json.loads(to_text(found.secrets[0])) == json.loads(ran.out)["secrets"][0]
    with pytest.raises(auditor.ConfigError, match="rank_secrets takes no attacks"):
        auditor.rank_secrets(str(tiny_models["target"]), members=rows, attacks=["loss"])
