"""Coins of a split: drawn by name from a committed seed, held against it in an audit, and guessed for epsilon."""

import hashlib
import hmac
import json
import math
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from auditor.config import DataSpec
from auditor.data import load_samples
from auditor.data.splits import make_split, write_split
from auditor.documents.coins import coin, commitment, new_coins, of_text, read_coins
from auditor.documents.epsilon import Condition
from auditor.documents.files import to_text
from auditor.documents.split import read_manifest
from auditor.errors import ConfigError, ResultError
from auditor.estimates.epsilon import Claim, Coined, bound_by_coins, by_unit, n_guesses, surest_first
from auditor.soundness.split import check_coins, committed_coins
from auditor.stats.epsilon import epsilon_ceiling, epsilon_lower_bound, epsilon_p_value
from helpers import Run, make_texts, write_jsonl

MET = (Condition(name="a", verdict="met", detail=""), Condition(name="b", verdict="unchecked", detail=""))


def coined(scores: list[float], is_in: list[bool], copies: int = 1) -> Coined:
    names = [f"u{i}" for i in range(len(scores))]
    return Coined(names=names, scores=np.array(scores), is_in=np.array(is_in), copies=copies)


@pytest.fixture
def corpus(tmp_path: Path) -> DataSpec:
    return DataSpec(path=str(write_jsonl(tmp_path / "corpus.jsonl", make_texts(120, seed=5))))


@pytest.fixture
def parts(corpus: DataSpec, tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    write_split(make_split(corpus, coins=True), folder)
    return folder


def test_a_coin_is_a_bit_of_an_hmac_under_the_seed() -> None:
    seed = "0b" * 32
    key = bytes([0x0B]) * 32
    assert coin(seed, "text:x") == bool(hmac.new(key, b"text:x", hashlib.sha256).digest()[0] % 2)
    assert commitment(seed) == hashlib.sha256(b"auditor coins " + key).hexdigest()


def test_coins_are_fair_and_independent() -> None:
    seed = new_coins().seed
    thrown = np.array([coin(seed, f"text:{i}") for i in range(4000)])
    other = np.array([coin(new_coins().seed, f"text:{i}") for i in range(4000)])
    for same in (thrown, thrown[1:] == thrown[:-1], thrown == other):
        assert stats.binomtest(int(same.sum()), same.size).pvalue > 1e-6


def test_every_text_of_a_split_is_on_the_side_of_its_coin(parts: Path) -> None:
    manifest, coins = read_manifest(parts), read_coins(parts)
    assert manifest.coins_sha256 == commitment(coins.seed)
    for side, expected in ((manifest.members, True), (manifest.non_members, False)):
        assert {coin(coins.seed, of_text(one)) for one in side.text_sha256} == {expected}
    assert manifest.members.n_texts + manifest.non_members.n_texts == 120
    assert coins.seed not in (parts / "manifest.json").read_text()
    assert stat.S_IMODE((parts / "coins.json").stat().st_mode) == 0o600


def test_a_group_has_one_coin(tmp_path: Path) -> None:
    texts = make_texts(160, seed=5)
    groups = [f"g{i // 2}" for i in range(160)]
    spec = DataSpec(path=str(write_jsonl(tmp_path / "c.jsonl", texts, group=groups)))
    made = make_split(spec, coins=True, by_group=True)
    sides = [{made.corpus.groups[row] for row in made.rows[name]} for name in ("members", "non_members")]
    assert not sides[0] & sides[1]
    assert made.coins is not None
    assert all(coin(made.coins.seed, f"group:{name}") for name in sides[0])
    assert not any(coin(made.coins.seed, f"group:{name}") for name in sides[1])


def test_a_holdout_has_no_coins_and_two_splits_have_others(corpus: DataSpec) -> None:
    one, other = (make_split(corpus, coins=True, holdout_share=0.2, seed=3) for _ in range(2))
    assert one.rows["holdout"].size == 24
    assert list(one.rows["holdout"]) == list(other.rows["holdout"])  # that draw is of the seed
    assert list(one.rows["members"]) != list(other.rows["members"])  # this one is of nobody's


def test_coins_are_fair_or_refused(corpus: DataSpec) -> None:
    with pytest.raises(ConfigError, match="--coins are fair"):
        make_split(corpus, coins=True, member_share=0.3)


def test_an_audit_holds_coins_against_their_commitment(parts: Path, tmp_path: Path) -> None:
    manifest = read_manifest(parts)
    found = committed_coins(manifest, parts / "manifest.json", None)
    assert found == read_coins(parts)
    other = tmp_path / "other.json"
    other.write_text(to_text(new_coins()))
    with pytest.raises(ConfigError, match=r"not those that the split manifest .* committed to"):
        committed_coins(manifest, parts, other)
    with pytest.raises(ConfigError, match="threw no coins"):
        committed_coins(replace(manifest, coins_sha256=None), parts, other)
    other.write_text(to_text(replace(new_coins(), seed="x")))
    with pytest.raises(ResultError, match="64 hexadecimal"):
        committed_coins(manifest, parts, other)
    (parts / "coins.json").unlink()
    assert committed_coins(manifest, parts, None) is None  # not revealed


def test_a_manifest_with_other_sides_than_its_coins_is_refused(parts: Path) -> None:
    manifest, coins = read_manifest(parts), read_coins(parts)
    data = load_samples(*(DataSpec(path=str(parts / f"{name}.jsonl")) for name in ("members", "non_members")))
    check_coins(manifest, coins, data, None)
    moved = manifest.members.text_sha256[0]
    changed = replace(
        manifest,
        members=replace(manifest.members, text_sha256=manifest.members.text_sha256[1:]),
        non_members=replace(manifest.non_members, text_sha256=(*manifest.non_members.text_sha256, moved)),
    )
    with pytest.raises(ConfigError, match="puts 1 text of 120 on another side than their coins"):
        check_coins(changed, coins, data, None)


def test_guesses_go_from_both_ends_inwards() -> None:
    # scores 5 4 3 2 1; guessed in order: 5 in, 1 out, 4 in, 2 out, 3 in
    found = surest_first(coined([1, 2, 3, 4, 5], [False, True, True, False, True]))
    assert found.tolist() == [True, True, False, False, True]


def test_equal_scores_stand_in_the_order_of_their_names_and_never_of_their_sides() -> None:
    is_in = [True] * 20 + [False] * 20  # members first, as data come
    names = [hashlib.sha256(str(i).encode()).hexdigest() for i in range(40)]
    right = surest_first(Coined(names=names, scores=np.zeros(40), is_in=np.array(is_in)))
    assert 8 <= right.sum() <= 32
    order = np.argsort(names)
    assert right[0] == is_in[order[-1]]


@pytest.mark.parametrize(("m", "share", "r"), [(100, 0.2, 20), (104, 0.2, 20), (10, 0.2, 2), (3, 0.2, 2), (7, 1, 7)])
def test_the_number_of_guesses_is_even_and_declared(m: int, share: float, r: int) -> None:
    assert n_guesses(m, share) == r


def test_texts_of_a_group_are_one_guess() -> None:
    found = by_unit(["b", "a", "b"], np.array([1.0, 5.0, 3.0]), np.array([True, False, True]))
    assert (found.names, found.scores.tolist(), found.is_in.tolist()) == (["a", "b"], [5.0, 2.0], [False, True])


def test_the_bound_of_coins_is_that_of_the_corollary() -> None:
    rng = np.random.default_rng(3)
    is_in = rng.random(200) < 0.5
    scores = rng.normal(2 * is_in)
    units = coined(scores.tolist(), is_in.tolist())
    found = bound_by_coins(units, claim=Claim(delta=1e-5), attack="loss", unit="one text", conditions=MET)
    high, low = np.argsort(-scores)[:20], np.argsort(scores)[:20]
    right = int(is_in[high].sum() + (~is_in[low]).sum())
    assert (found.n_guesses, found.n_correct) == (40, right)
    guesses = {"n_canaries": 200, "n_guesses": 40, "delta": 1e-5}
    assert found.epsilon_lower_bound == epsilon_lower_bound(n_correct=right, **guesses)
    assert found.ceiling == epsilon_ceiling(**guesses)
    assert found.betting_lower_bound is None  # it is for delta 0
    assert found.group_lower_bound == found.epsilon_lower_bound


def test_a_broken_condition_voids_the_bound() -> None:
    broken = Condition(name="sound_sides", verdict="broken", detail="vetoed by overlap")
    units = coined([3, 2, 1, 0] * 20, [True, True, False, False] * 20)
    found = bound_by_coins(units, claim=Claim(), attack="loss", unit="one text", conditions=(*MET, broken))
    assert found.epsilon_lower_bound is found.betting_lower_bound is found.n_correct is None
    assert found.undefined_reason == "sound_sides: vetoed by overlap"


def test_copies_share_the_bound_of_their_group() -> None:
    guesses = {"n_canaries": 100, "n_guesses": 20, "n_correct": 20}
    whole = epsilon_lower_bound(**guesses)
    assert epsilon_lower_bound(**guesses, copies=4) == pytest.approx(whole / 4, abs=1e-8)
    # with delta the claim of a group is (k eps, delta (e^(k eps) - 1) / (e^eps - 1)); checked at its p-value
    found = epsilon_lower_bound(**guesses, copies=4, delta=1e-4)
    of_group = 1e-4 * math.expm1(4 * found) / math.expm1(found)
    assert epsilon_p_value(**guesses, epsilon=4 * found, delta=of_group) == pytest.approx(0.05, abs=1e-6)
    assert found < whole / 4
    with pytest.raises(ValueError, match="one copy"):
        epsilon_lower_bound(**guesses, copies=0)


@given(st.integers(2, 60), st.integers(1, 20), st.sampled_from([0.0, 1e-5, 1e-3]))
def test_more_copies_never_show_more(v: int, k: int, delta: float) -> None:
    guesses = {"n_canaries": 300, "n_guesses": 60, "n_correct": v, "delta": delta}
    assert epsilon_lower_bound(**guesses, copies=k + 1) <= epsilon_lower_bound(**guesses, copies=k) + 1e-8


def test_a_scorer_that_knows_nothing_alarms_no_more_often_than_it_may() -> None:
    rng, n = np.random.default_rng(11), 300
    names = [f"{i:03d}" for i in range(100)]
    alarms = 0
    for _ in range(n):
        units = Coined(names=names, scores=rng.normal(size=100), is_in=rng.random(100) < 0.5)
        found = bound_by_coins(units, claim=Claim(), attack="loss", unit="one text", conditions=MET)
        assert found.epsilon_lower_bound is not None
        alarms += found.epsilon_lower_bound > 0
    assert alarms / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)


def audited(run: Run, models: dict[str, Path], parts: Path, out: Path, *more: object) -> dict[str, object]:
    ran = run(
        "audit", "--target", models["target"], "--members", parts / "members.jsonl", "--non-members",
        parts / "non_members.jsonl", "--split-manifest", parts, "--attack", "loss", "--out", out, *more, "--json",
    )  # fmt: skip
    found: dict[str, object] = ran.document
    return found


def test_an_audit_of_coins_holds_a_bound_and_its_conditions(
    run: Run, tiny_models: dict[str, Path], parts: Path, tmp_path: Path
) -> None:
    found = audited(run, tiny_models, parts, tmp_path / "out")
    bound = found["epsilon"]
    assert isinstance(bound, dict)
    named = {one["name"]: one["verdict"] for one in bound["conditions"]}
    assert named["independent_fair_coins"] == named["every_unit_audited"] == named["declared_attack"] == "met"
    assert named["committed_before_training"] == named["coins_unknown"] == "unchecked"
    assert (bound["n_canaries"], bound["n_guesses"], bound["attack"]) == (120, 24, "loss")
    assert bound["epsilon_lower_bound"] < bound["ceiling"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert 'id="epsilon"' in page
    assert "not checked" in page
    assert "### Which differential privacy is ruled out" in (tmp_path / "out" / "report.md").read_text()


def test_a_choice_by_side_voids_the_bound_and_hidden_coins_give_none(
    run: Run, tiny_models: dict[str, Path], parts: Path, tmp_path: Path
) -> None:
    lines = (parts / "members.jsonl").read_text().splitlines(keepends=True)
    (parts / "members.jsonl").write_text("".join(lines[:20]))
    bound = audited(run, tiny_models, parts, tmp_path / "few", "--headline", "loss")["epsilon"]
    assert isinstance(bound, dict)
    assert bound["epsilon_lower_bound"] is None
    assert "fair coins do not fall so" in bound["undefined_reason"]
    assert {one["name"]: one["verdict"] for one in bound["conditions"]}["declared_attack"] == "unchecked"
    (parts / "coins.json").unlink()
    found = audited(run, tiny_models, parts, tmp_path / "hidden")
    assert found["epsilon"] is None
    assert "not revealed" in json.dumps(found["warnings"])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--delta", "1"), "delta must be in [0, 1)"),
        (("--guess-share", "20"), "a percentage? use 0.2"),
        (("--coins", "nowhere.json"), "cannot read"),
    ],
)
def test_what_cannot_be_is_one_line(
    run: Run, tiny_models: dict[str, Path], parts: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    ran = run(
        "audit", "--target", tiny_models["target"], "--members", parts / "members.jsonl", "--non-members",
        parts / "non_members.jsonl", "--split-manifest", parts, "--out", tmp_path / "out", *more,
    )  # fmt: skip
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.strip().splitlines()) == 1
