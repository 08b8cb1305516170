"""Secrets in one model after another, and what `verify` computes again of them, on documents made by hand."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auditor.comparison.secrets import follow_secrets
from auditor.documents.files import from_text, to_text
from auditor.documents.secrets import RankedSecret, SecretsResult, read_secrets
from auditor.documents.secrets_changes import SECRETS_CHANGES_VERSION, SecretsChanges
from auditor.errors import ResultError
from auditor.estimates.secrets import Scored, mean_of, rank_secret, with_verdicts
from auditor.verification.secrets import verify_secrets
from helpers import Ran
from reports.secrets_changes import sentence

Run = Callable[..., Ran]
LEVEL = 0.95


def ranked(ranks: list[int], *, n: int = 1000, exact: bool = True, reference: bool = False, bits: float = 10.0,
           weights: str = "a") -> SecretsResult:  # fmt: skip
    """Return secrets of these ranks among the first ``n`` numbers."""
    secrets = []
    for i, rank in enumerate(ranks):
        others = np.delete(np.linspace(1, 0, n), rank - 1)
        target = np.concatenate([[np.linspace(1, 0, n)[rank - 1]], others]) - bits * math.log(2) - 1
        scored = Scored(id=f"s{i}", kind="column", n_characters=3, n_unknown=3, space_size=n if exact else n**2,
                        exact=exact, target=target, reference=np.zeros(n) if reference else None)  # fmt: skip
        secrets.append(rank_secret(scored, level=LEVEL))
    found = with_verdicts(secrets, level=LEVEL)

    def mean(values: list[float | None]):
        return mean_of(values, level=LEVEL)

    return SecretsResult(
        auditor_version="0", target="tuned", target_sha256=weights * 64, references=("base",) if reference else (),
        data="texts.jsonl", n_texts=len(ranks), n_texts_without=0, n_secrets=len(found),
        n_held=sum(one.held for one in found), n_first=sum(one.n_before == 0 for one in found), level=LEVEL, seed=0,
        mean_exposure=mean([one.exposure.value for one in found]),
        mean_null_exposure=float(np.mean([one.null_exposure for one in found])),
        mean_bits_beyond_reference=mean([one.bits_beyond_reference for one in found]),
        mean_exposure_beyond_reference=mean(
            [one.exposure_beyond_reference.value if one.exposure_beyond_reference else None for one in found]
        ),
        secrets=found, warnings=(),
    )  # fmt: skip


def test_changes_are_those_of_each_secret_by_hand() -> None:
    """Ranks 500 and 250 become 1 and 1: exposures rise by log2 500 and log2 250."""
    found = follow_secrets([("a", ranked([500, 250, 800])), ("b", ranked([1, 1, 800], weights="b"))])
    first, second = found.points
    assert first.exposure_change is None
    assert second.exposure_change is not None
    assert second.exposure_change.value == pytest.approx((math.log2(500) + math.log2(250)) / 3)
    assert (first.n_held, second.n_held, second.n_newly_held, second.n_no_longer_held) == (0, 2, 2, 0)
    assert second.bits_change is not None
    moved = sum(np.linspace(1, 0, 1000)[[0, 0]] - np.linspace(1, 0, 1000)[[499, 249]])
    assert second.bits_change.value == pytest.approx(moved / math.log(2) / 3)
    assert [one.id for one in found.secrets] == ["s0", "s1", "s2"]
    assert found.secrets[0].exposures == pytest.approx((1.0, math.log2(1000)), abs=1e-9)
    assert sentence(found) == "The two models hold 0 and 2 of 3 secrets; 2 are new."
    assert not found.warnings


def test_p_values_are_corrected_over_the_models_and_a_secret_lost_is_counted() -> None:
    rng = np.random.default_rng(0)
    low, high = ([int(one) for one in rng.integers(a, b, 5)] for a, b in ((400, 900), (1, 3)))
    found = follow_secrets(
        [("1", ranked(low)), ("2", ranked(high, weights="b")), ("3", ranked(high, weights="c")),
         ("4", ranked(low, weights="d"))]
    )  # fmt: skip
    p_values = [one.exposure_change_p for one in found.points]
    assert p_values[0] is None
    assert p_values[1] is not None
    assert p_values[1] < 0.01
    assert p_values[2] == 1.0
    assert [one.n_no_longer_held for one in found.points] == [None, 0, 0, found.points[1].n_held]
    assert found.points[1].n_held > 0
    assert from_text(to_text(found), SecretsChanges, version=SECRETS_CHANGES_VERSION, what="x") == found


def test_only_common_secrets_are_compared_and_others_are_counted() -> None:
    found = follow_secrets([("a", ranked([5, 5])), ("b", ranked([5, 5, 5], reference=True))])
    assert found.n_secrets == 2
    assert [warning.split(",")[0] for warning in found.warnings] == [
        "1 secrets were not ranked in every model and are left out of all changes",
        "the references are not the same",
        "1 of 2 models have the weights of another one of them",
    ]
    with pytest.raises(ResultError, match="rank no secret in common"):
        follow_secrets([("a", ranked([5])), ("b", ranked([5], n=500))])


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("reference", [True, False])
def test_what_follows_from_ranks_is_computed_again(tmp_path: Path, exact: bool, reference: bool) -> None:
    file = tmp_path / "secrets.json"
    found = ranked([1, 20, 700], exact=exact, reference=reference)
    file.write_text(to_text(found))
    again = verify_secrets(file, models=False)
    assert [(one.name, one.status) for one in again.claims] == [
        ("ranks", "matches"), ("totals", "matches"), ("the rest", "not_checked"),
    ]  # fmt: skip


def lowered(one: RankedSecret) -> RankedSecret:
    assert one.exposure.value is not None
    return replace(one, exposure=replace(one.exposure, value=one.exposure.value - 1, low=one.exposure.value - 1))


@pytest.mark.parametrize(
    ("change", "claim", "said"),
    [
        (lambda one: replace(one, secrets=(lowered(one.secrets[0]), *one.secrets[1:])), "ranks", "s0: exposure.value"),
        (lambda one: replace(one, secrets=(replace(one.secrets[0], n_before=3), *one.secrets[1:])), "ranks", "p_value"),
        (lambda one: replace(one, secrets=(replace(one.secrets[0], held=False), *one.secrets[1:])), "ranks", "held is"),
        (lambda one: replace(one, n_held=0), "totals", "n_held: 0 stated, 2 found"),
        (lambda one: replace(one, mean_null_exposure=1.0), "totals", "mean_null_exposure"),
    ],
)
def test_changed_figures_are_named(
    tmp_path: Path, change: Callable[[SecretsResult], SecretsResult], claim: str, said: str
) -> None:
    file = tmp_path / "secrets.json"
    file.write_text(to_text(change(ranked([1, 20, 700]))))
    differing = {one.name: one.detail for one in verify_secrets(file).of("differs")}
    assert said in differing[claim]


def test_commands_take_two_documents_of_secrets(run: Run, tmp_path: Path) -> None:
    for name, ranks, weights in (("old", [500, 250], "a"), ("new", [1, 250], "b")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secrets.json").write_text(to_text(ranked(ranks, weights=weights)))
    ran = run("compare", tmp_path / "old", tmp_path / "new" / "secrets.json", "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "hold 0 and 1 of 2 secrets; 1 are new" in ran.out
    found = json.loads((tmp_path / "out" / "secrets-changes.json").read_text())
    assert [one["label"] for one in found["points"]] == ["old", "new"]
    for form in ("html", "md"):
        told = run("report", tmp_path / "out", "--format", form)
        assert told.out.strip() == (tmp_path / "out" / f"secrets-changes.{form}").read_text().strip()
    verified = run("verify", tmp_path / "new", "--json")
    assert verified.code == 0
    assert {one["name"]: one["status"] for one in verified.document["claims"]}["ranks"] == "matches"
    assert read_secrets(tmp_path / "new" / "secrets.json").n_held == 1
