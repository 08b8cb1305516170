"""Attacks of the user's own: functions, classes, instances, files, and what is no attack."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import auditor
from attacks import Attack, Need, Signals
from helpers import Ran, make_texts

FILE = '''"""Attacks."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from attacks import Attack, Loss, Signals


def worst_token(signals):
    """The least likely token."""
    return np.minimum.reduceat(signals.target.logprob, signals.target.offsets[:-1])


def helper(values):
    return values


@dataclass(frozen=True)
class TopShare(Attack):
    k: int = 5
    name: ClassVar[str] = "top_share"
    paper: ClassVar[str] = "not published"
    summary: ClassVar[str] = "share of tokens among the k likeliest"
    per_sample: ClassVar[bool] = True

    def score(self, signals: Signals):
        hits = (signals.target.rank < self.k).astype(float)
        return np.add.reduceat(hits, signals.target.offsets[:-1]) / signals.target.n_tokens
'''


def gain(signals: Signals) -> Any:
    """How much likelier than under the references."""
    return signals.target.total_logprob - signals.reference_logprob


gain.needs = {"reference"}  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Scaled(Attack):
    """The loss, times a number."""

    times: float = 2.0
    name: ClassVar[str] = "scaled"
    paper: ClassVar[str] = "not published"
    summary: ClassVar[str] = "loss times a number"

    def score(self, signals: Signals) -> Any:
        return self.times * signals.target.mean_logprob


def test_functions_classes_and_instances(tiny_models: dict[str, Path]) -> None:
    members, others = make_texts(6, seed=1), make_texts(6, seed=2)
    found = auditor.audit(
        tiny_models["target"], reference=tiny_models["reference"], members=members, non_members=others,
        attacks=[gain, Scaled, Scaled(times=3.0), "loss"],
    )  # fmt: skip
    scores = found.samples.scores
    assert list(scores) == ["gain", "scaled", "scaled:times=3.0", "loss"]
    np.testing.assert_array_equal(scores["scaled"], 2 * scores["loss"])
    np.testing.assert_array_equal(scores["scaled:times=3.0"], 3 * scores["loss"])
    assert found.samples.signed_bits is not None
    np.testing.assert_allclose(scores["gain"] / np.log(2), found.samples.signed_bits, atol=1e-4)
    gained = next(one for one in found.result.attacks if one.name == "gain")
    assert gained.summary == "How much likelier than under the references."
    assert gained.needs == (Need.REFERENCE,)
    said = [one for one in found.result.warnings if "not of this product" in one]
    assert [one.partition(" is not")[0] for one in said] == ["the attack gain", "the attack scaled"]
    with pytest.raises(auditor.ConfigError, match="gain needs a reference model"):
        auditor.audit(tiny_models["target"], members=members, attacks=[gain])


def test_what_keeps_no_contract_is_refused(tiny_models: dict[str, Path]) -> None:
    @dataclass(frozen=True)
    class Nameless(Attack):
        def score(self, signals: Signals) -> Any:
            return signals.target.mean_logprob

    class Plain(Scaled):
        name = "loss"

    class Abstract(Attack):
        name = "abstract"

    def two(signals: Signals, more: int) -> Any:
        return signals.target.mean_logprob

    def needy(signals: Signals) -> Any:
        return signals.target.mean_logprob

    needy.needs = {"oracle"}  # type: ignore[attr-defined]

    def short(signals: Signals) -> Any:
        return signals.target.mean_logprob[1:]

    def undefined(signals: Signals) -> Any:
        return np.full(signals.n_samples, np.nan)

    for mine, said in (
        (Nameless, "has no name"),
        (Plain, "'loss' is that of a built-in attack"),
        (Abstract, "lacks score"),
        (two, "one argument"),
        (needy, "needy.needs: 'oracle' is not a valid Need; there are: reference"),
        (short, r"shape \(2,\) for 3 samples"),
        (undefined, "no finite score for 3 samples"),
        ([gain], "list is no attack"),
    ):
        with pytest.raises(auditor.AuditError, match=said):
            auditor.audit(tiny_models["target"], members=make_texts(3, seed=1), attacks=[mine])


def test_two_attacks_of_one_name_are_refused(tiny_models: dict[str, Path]) -> None:
    def other() -> Callable[[Signals], Any]:
        def gain(signals: Signals) -> Any:
            return signals.target.mean_logprob

        return gain

    with pytest.raises(auditor.ConfigError, match="gain"):
        auditor.audit(tiny_models["target"], members=make_texts(3, seed=1), attacks=[other(), other()])


@pytest.fixture
def command(tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path, run: Callable[..., Ran]) -> Any:
    """Return a function that audits with further options, and the attacks that were run."""

    def call(*options: object) -> Ran:
        return run("audit", "--target", tiny_models["target"], "--members", tiny_data["members"], "--non-members",
                   tiny_data["non_members"], "--out", tmp_path / "out", "--overwrite", "--json", *options)  # fmt: skip

    return call


def test_a_file_is_run_when_it_is_named(command: Any, tmp_path: Path, tiny_models: dict, tiny_data: dict) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE, encoding="utf-8")
    ran = command("--attack-file", file, "--attack", "loss", "--attack", "top_share:k=2")
    assert ran.code == 0, ran.err
    assert f"Running the code of {file} (--attack-file)" in ran.err.replace("\n", "")
    assert [one["attack"] for one in ran.document["attacks"]] == ["loss", "top_share:k=2", "worst_token"]
    assert ran.document["config"]["attack_files"] == [str(file)]
    assert sum("was run (SHA-256 " in one for one in ran.document["warnings"]) == 2
    beside = command("--attack-file", file)
    labels = [one["attack"] for one in beside.document["attacks"]]
    assert {"loss", "min_k", "top_share", "worst_token"} <= set(labels)
    found = auditor.audit(
        tiny_models["target"], members=tiny_data["members"], non_members=tiny_data["non_members"],
        attack_files=[file], attacks=["loss", "top_share:k=2"],
    )  # fmt: skip
    assert [one.auc.value for one in found.result.attacks] == [one["auc"]["value"] for one in ran.document["attacks"]]
    said = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "--attack-file" in said


FAILS = "def f(signals):\n    return signals.texts[0].nope\n"


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("a.py", "x = 1\n", "defines no attack: a public function of one argument called signals"),
        ("a.py", "from attacks import Loss\n", "defines no attack"),
        ("a.py", "import nothing_of_that_name\n", "running it failed: ModuleNotFoundError"),
        ("a.py", "\n\ndef f(:\n", r"SyntaxError.*line 3"),
        ("a.py", "raise SystemExit(0)\n", "running it failed: SystemExit"),
        ("a.py", "def loss(signals):\n    return 0\n", "'loss' is that of a built-in attack"),
        ("a.py", FAILS, "attack f failed with AttributeError in line 2 of a.py"),
        ("a.txt", "", "give a .py file that defines an attack; its code is run"),
        (None, "", "No such file"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_ends_in_one_line(
    command: Any, tmp_path: Path, name: str | None, code: str, said: str
) -> None:
    file = tmp_path / (name or "missing.py")
    if name:
        file.write_text(code, encoding="utf-8")
    ran = command("--attack-file", file)
    assert ran.code == 2
    last = ran.err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert re.search(said, last), last
