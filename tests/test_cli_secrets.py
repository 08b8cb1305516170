"""``auditor secrets`` from the command line: what it prints and writes, what it refuses, and what it never says."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

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
