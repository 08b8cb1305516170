"""Two audits compared: matched by text, side and length; changes by hand; what spoils it is said or refused."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from auditor.comparison.compare import compare_audits
from auditor.documents.comparison import AuditComparison, MetricChange, read_comparison
from auditor.documents.estimate import Estimate
from auditor.documents.files import to_text
from auditor.documents.result import (
    AttackResult,
    AuditResult,
    CheckResult,
    DataResult,
    ModelProvenance,
    Provenance,
    SideData,
    SoundnessResult,
)
from auditor.documents.sample_table import SampleTable
from auditor.errors import ConfigError, ResultError
from auditor.estimates.code_lengths import SampleBits
from auditor.estimates.memorization import dataset_memorization
from auditor.laws.capacity import BitsPerParameter
from auditor.stats.change import independent_change, tpr_change
from auditor.stats.metrics import evaluate
from auditor.stats.p_values import holm

ROOT = Path(__file__).parents[2]


def table(
    members: Mapping[str, float],
    others: Mapping[str, float],
    *,
    n_bytes: int = 10,
    bits: bool = True,
    group: str | None = None,
    labels: tuple[str, ...] = ("reference",),
) -> SampleTable:
    """Make samples by id; the text is the id up to a ``/``, the number its signed bits and the score of its attacks."""
    ids = (*members, *others)
    signed = np.array([*members.values(), *others.values()], dtype=np.float64)
    n = len(ids)
    return SampleTable(
        sample_id=ids,
        text_sha256=tuple(f"hash of {name.partition('/')[0]}" for name in ids),
        is_member=np.arange(n) < len(members),
        group=(group,) * n,
        n_tokens=np.full(n, 5),
        n_bytes=np.full(n, n_bytes),
        target_bits=100 - signed,
        reference_bits=np.full(n, 100.0) if bits else None,
        signed_bits=signed if bits else None,
        memorized_bits=np.maximum(signed, 0) if bits else None,
        scores=dict.fromkeys(labels, signed),
    )


def model(role: Any, **changed: Any) -> ModelProvenance:
    given: dict[str, Any] = {
        **{"role": role, "path": role, "revision": None, "adapter": None, "weights_sha256": f"{role} weights"},
        **{"tokenizer_sha256": "t", "architecture": "GPT2", "n_parameters": 1000, "n_vocabulary": 300},
        **{"stored_dtype": "float32", "dtype": "float32", "device": "cpu", "context_window": 64},
        **{"prefix_token_ids": (0,), "prefix_rule": "bos", "scoring_path": "packed"},
    }
    return ModelProvenance(**given | changed)


def document(samples: SampleTable, **changed: Any) -> AuditResult:
    """Make the document that belongs to the samples."""
    here = samples.is_member
    measured = {
        label: evaluate(scores, here, fpr_targets=(0.5,), level=0.95, rng=np.random.default_rng(0))
        for label, scores in samples.scores.items()
    }
    memory = None
    if samples.reference_bits is not None:
        memory = dataset_memorization(
            SampleBits(target=samples.target_bits, reference=samples.reference_bits), here,
            groups=None, n_tokens=samples.n_tokens, n_bytes=samples.n_bytes, n_references=1, n_parameters=1000,
            capacity=BitsPerParameter(3.6, "test"), level=0.95, rng=np.random.default_rng(0), samples=(),
        )  # fmt: skip

    def side(chosen: np.ndarray) -> SideData:
        return SideData(
            path="data.jsonl", n_samples=int(chosen.sum()), n_groups=None, n_bytes=int(samples.n_bytes[chosen].sum()),
            n_tokens=int(samples.n_tokens[chosen].sum()), sha256="d", n_cut=0, n_bytes_cut=0, n_windowed=0,
            n_repeated=0,
        )  # fmt: skip

    result = AuditResult(
        provenance=Provenance(
            auditor_version="1", scoring_version=3, packages={"torch": "2"}, python="3", platform="Linux",
            started_at="2026-01-01T00:00:00", seconds=1.0, n_tokens_scored=1, n_tokens_reused=0, scoring_seconds=1.0,
            models=(model("target"), model("reference")),
        ),
        config={"max_tokens": None, "seed": 0, "target": {"path": "target"}},
        data=DataResult(
            members=side(here), non_members=None if here.all() else side(~here), window_tokens=64, long_texts="cut"
        ),
        soundness=SoundnessResult(verdict="pass", checks=()),
        memorization=memory,
        attacks=tuple(
            AttackResult(
                attack=label, name=label, summary="s", params={}, paper="p", needs=(), auc=found.auc,
                advantage=found.advantage, tpr_at_fpr=found.tpr_at_fpr, f1_equal_error=found.f1_equal_error,
                inverted=found.inverted, roc=found.roc,
            )
            for label, found in measured.items()
        ),
    )  # fmt: skip
    return replace(result, **changed)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes an audit and returns its folder."""
    number = itertools.count()

    def call(samples: SampleTable, result: AuditResult | None = None) -> Path:
        folder = tmp_path / f"audit {next(number)}"
        folder.mkdir()
        (folder / "result.json").write_text(to_text(result or document(samples)), encoding="utf-8")
        samples.write_parquet(folder / "samples.parquet")
        return folder

    return call


Write = Callable[..., Path]
OLD = table({"a": 3.0, "b": 1.0, "c": -2.0}, {"x": 2.0, "y": 0.0})
NEW = table({"a": 9.0, "b": 4.0, "c": -1.0}, {"x": 3.0, "y": -1.0})


def changes(found: AuditComparison) -> dict[str, MetricChange]:
    return {row.metric: row for row in found.changes}


def large(shift: float, *, n: int = 60, seed: int = 0, prefix: str = "") -> SampleTable:
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(99).normal(0, 5, 2 * n) + rng.normal(0, 1, 2 * n)
    members = {f"{prefix}m{i}": base[i] + shift for i in range(n)}
    return table(members, {f"{prefix}n{i}": base[n + i] for i in range(n)}, labels=("reference", "loss"))


def test_changes_by_hand(write: Write) -> None:
    found = compare_audits(write(OLD), write(NEW))
    rows = changes(found)
    assert list(rows) == [
        "memorization.debiased_bits_per_member",
        "memorization.net_bits_per_member",
        "memorization.mean_bits_members",
        "attacks.reference.auc",
        "attacks.reference.tpr_at_fpr.0.5",
    ]
    # clipped: members 3, 1, 0 -> 9, 4, 0; non-members 2, 0 -> 3, 0
    debiased = rows["memorization.debiased_bits_per_member"]
    assert (debiased.old.value, debiased.new.value) == pytest.approx((4 / 3 - 1, 13 / 3 - 1.5))
    moved, still = np.array([6, 3, 0.0]), np.array([1, 0.0])
    welch = stats.ttest_ind(moved, still, equal_var=False)
    interval = welch.confidence_interval(0.95)
    assert debiased.change.value == pytest.approx(3 - 0.5)
    assert (debiased.change.low, debiased.change.high) == pytest.approx((interval.low, interval.high))
    assert debiased.p_value == pytest.approx(welch.pvalue)
    assert rows["memorization.net_bits_per_member"].change.value == pytest.approx(10 / 3 - 0)
    assert rows["memorization.mean_bits_members"].change.value == pytest.approx(10 / 3)
    # 3 beats 2 and 0, 1 beats 0, -2 beats none; 9 and 4 beat both, -1 ties with -1
    area = rows["attacks.reference.auc"]
    assert (area.old.value, area.new.value, area.change.value) == pytest.approx((3 / 6, 4.5 / 6, 1.5 / 6))
    # one false positive is allowed: thresholds 1 (3 and 1 found) and 3 (9 and 4 found)
    rate = rows["attacks.reference.tpr_at_fpr.0.5"]
    assert (rate.old.value, rate.new.value, rate.change.value) == pytest.approx((2 / 3, 2 / 3, 0))
    assert [row.p_value_holm for row in found.changes] == holm([row.p_value for row in found.changes])
    assert all(row.paired for row in found.changes)
    assert (found.reading, found.warnings, found.left_out) == ("sound", (), ())


def shuffled(samples: SampleTable, seed: int) -> SampleTable:
    order = np.random.default_rng(seed).permutation(len(samples.sample_id))
    picked = {
        name: None if (values := getattr(samples, name)) is None else values[order]
        for name in (
            "is_member",
            "n_tokens",
            "n_bytes",
            "target_bits",
            "reference_bits",
            "signed_bits",
            "memorized_bits",
        )
    }
    texts = {name: tuple(getattr(samples, name)[i] for i in order) for name in ("sample_id", "text_sha256", "group")}
    return replace(samples, **picked, **texts, scores={k: v[order] for k, v in samples.scores.items()})


def test_the_order_of_rows_does_not_matter(write: Write) -> None:
    copies = {"a/1": 30.0, "a/2": 31.0, "b": 12.0, "c": 1.0}
    old, new = table(copies, {"x/1": 2.0, "x/2": 1.0, "y": 0.0}), table({**copies, "a/1": 11.0}, {"x/1": 9.0, "y": 3.0})
    found, again = (
        compare_audits(write(one, document(old)), write(other, document(new)))
        for one, other in ((old, new), (shuffled(old, 1), shuffled(new, 2)))
    )
    for row, same in zip(found.changes, again.changes, strict=True):
        assert (row.change.value, row.change.low, row.p_value) == pytest.approx(
            (same.change.value, same.change.low, same.p_value)
        )
    assert (found.pairing, found.high) == (again.pairing, again.high)


def test_copies_are_matched_one_to_one_and_are_one_piece_of_evidence(write: Write) -> None:
    old = table({"a/1": 1.0, "a/2": 2.0, "b": 3.0}, {"x": 0.0, "y": 1.0})
    new = table({"a/1": 2.0, "a/2": 4.0, "a/3": 90.0, "b": 3.0}, {"x": 0.0, "y": 1.0})
    found = compare_audits(write(old), write(new))
    assert (found.pairing.n_members, found.pairing.n_members_only_new) == (3, 1)
    row = changes(found)["memorization.mean_bits_members"]
    assert row.change.value == pytest.approx((1 + 2 + 0) / 3)  # the third copy is left out
    assert "cluster-robust" in row.change.method


def test_an_audit_beside_itself_has_not_changed(write: Write) -> None:
    folder = write(large(3.0))
    found = compare_audits(folder, folder)
    for row in found.changes:
        assert (row.change.low, row.change.value, row.change.high) == (0, 0, 0), row
        assert (row.p_value, row.p_value_holm) == (1.0, 1.0)
    assert found.differences == ()
    assert found.high is not None
    assert (found.high.n_appeared, found.high.n_vanished) == (0, 0)


def test_pairing_sees_what_two_intervals_hide(write: Write) -> None:
    found = compare_audits(write(large(3.0, seed=1)), write(large(4.5, seed=2)))
    row = changes(found)["memorization.net_bits_per_member"]
    assert row.old.high > row.new.low  # the intervals overlap,
    assert row.change.low > 0  # and the change is beyond chance


def test_without_common_texts_the_audits_are_independent(write: Write) -> None:
    found = compare_audits(write(large(3.0)), write(large(6.0, seed=3, prefix="other ")))
    assert not found.pairing.paired
    assert found.reading == "caution"
    assert "not paired" in found.warnings[0]
    assert found.high is None
    for row in found.changes:
        assert not row.paired
        assert "not paired" in row.change.method
    row = changes(found)["memorization.net_bits_per_member"]
    old, new, change = row.old, row.new, row.change
    reach = np.hypot(old.high - old.value, new.value - new.low)
    assert change.low == pytest.approx(new.value - old.value - reach)
    assert (change.n_members, change.n_non_members) == (120, 120)


def test_texts_cut_elsewhere_are_not_paired(write: Write) -> None:
    old, new = large(3.0), large(3.0)
    n_bytes = new.n_bytes.copy()
    n_bytes[:10] = 7
    found = compare_audits(write(old), write(replace(new, n_bytes=n_bytes)))
    assert (found.pairing.n_members, found.pairing.n_cut_differently) == (50, 10)
    assert "10 texts" in " ".join(found.warnings)


def test_members_of_one_that_are_non_members_of_the_other_are_refused(write: Write) -> None:
    swapped = table({"x": 2.0, "y": 0.0}, {"a": 3.0, "b": 1.0, "c": -2.0})
    with pytest.raises(ResultError, match="5 texts are members in one audit and non-members in the other"):
        compare_audits(write(OLD), write(swapped))


def test_a_few_texts_that_changed_sides_are_left_out_and_counted(write: Write) -> None:
    moved = table({"a": 9.0, "b": 4.0, "c": -1.0, "z": 1.0}, {"x": 3.0, "y": -1.0})
    found = compare_audits(write(table({"a": 3.0, "b": 1.0, "c": 0.0}, {"x": 2.0, "y": 0.0, "z": 1.0})), write(moved))
    assert (found.pairing.n_changed_sides, found.pairing.n_members, found.pairing.n_non_members) == (1, 3, 2)
    assert found.reading == "caution"


def test_without_non_members_in_one_audit_only_the_members_are_compared(write: Write) -> None:
    bare = table({"a": 9.0, "b": 4.0, "c": -1.0}, {})
    for pair in ((OLD, bare), (bare, OLD), (bare, bare)):
        found = compare_audits(*(write(samples) for samples in pair))
        assert list(changes(found)) == ["memorization.clipped_bits_per_member", "memorization.mean_bits_members"]
        assert "no non-members" in found.left_out[0].reason
    assert "uncalibrated" in found.changes[0].description


def test_nothing_in_common_is_an_error(write: Write) -> None:
    bare = table({"a": 9.0, "b": 4.0, "c": -1.0}, {}, bits=False)
    with pytest.raises(ResultError, match="no figure in common"):
        compare_audits(write(OLD), write(bare))


def test_an_attack_with_other_parameters_is_not_compared(write: Write) -> None:
    samples = large(2.0)
    result = document(samples)
    attacks = (replace(result.attacks[0], params={"k": 0.1}), *result.attacks[1:])
    fewer = replace(samples, scores={"reference": samples.scores["reference"]})
    found = compare_audits(write(samples), write(samples, replace(result, attacks=attacks)))
    assert [one.what for one in found.left_out] == ["reference"]
    assert '{"k": 0.1}' in found.left_out[0].reason
    assert not any("attacks.reference" in row.metric for row in found.changes)
    found = compare_audits(write(samples), write(fewer))
    assert [(one.what, one.reason) for one in found.left_out] == [("loss", "only the old audit ran it")]


def altered(result: AuditResult, *, models: tuple[ModelProvenance, ...] | None = None, **config: Any) -> AuditResult:
    provenance = result.provenance if models is None else replace(result.provenance, models=models)
    return replace(result, provenance=provenance, config={**result.config, **config})


def test_a_precision_is_what_models_ran_in_and_not_how_it_was_asked_for(write: Write) -> None:
    """A pack stores the precision that ``auto`` came to."""
    ours, packed = (altered(document(OLD), dtype=asked) for asked in ("auto", "float32"))
    assert compare_audits(write(OLD, ours), write(OLD, packed)).differences == ()


@pytest.mark.parametrize(
    ("change", "what", "effect"),
    [
        ({"models": (model("target", weights_sha256="w"), model("reference"))}, "target weights", "none"),
        ({"models": (model("target"), model("reference", weights_sha256="w"))}, "reference weights", "caution"),
        ({"models": (model("target", dtype="bfloat16"), model("reference"))}, "target precision", "caution"),
        (
            {"models": (model("target"), model("reference", prefix_rule="none"))},
            "reference reference prefix",
            "caution",
        ),
        ({"models": (model("target", tokenizer_sha256="u"), model("reference"))}, "target tokenizer", "caution"),
        (
            {"models": (model("target", dtype="bfloat16"), model("reference")), "dtype": "auto"},
            "target precision",
            "caution",
        ),
        ({"max_tokens": 8}, "option max_tokens", "caution"),
        ({"seed": 1}, "option seed", "none"),
    ],
)
def test_what_differs_is_named_with_its_effect(write: Write, change: Any, what: str, effect: str) -> None:
    found = compare_audits(write(OLD), write(OLD, altered(document(OLD), **change)))
    (difference,) = found.differences
    assert difference.what.startswith(what)
    assert difference.effect == effect
    assert bool(difference.meaning) == (effect != "none")
    assert found.reading == ("caution" if effect == "caution" else "sound")


def test_the_order_of_references_is_no_difference(write: Write) -> None:
    models = model("target"), model("reference"), model("reference", weights_sha256="w", path="second")
    result = document(OLD)
    found = compare_audits(
        write(OLD, altered(result, models=models)), write(OLD, altered(result, models=(models[0], *models[:0:-1])))
    )
    assert found.differences == ()


def test_a_veto_on_either_audit_is_for_diagnosis_only(write: Write) -> None:
    check = CheckResult(name="overlap", verdict="veto", figure=1.0, unit="", detail="d")
    vetoed = replace(document(OLD), soundness=SoundnessResult(verdict="veto", checks=(check,)))
    for pair in ((None, vetoed), (vetoed, None), (vetoed, vetoed)):
        found = compare_audits(*(write(OLD, result) for result in pair))
        assert (found.reading, found.soundness) == ("diagnosis", "veto")
        assert found.differences[0].effect == "diagnosis"
    assert found.differences[0].meaning.endswith("on the old and the new audit")


def test_members_that_became_highly_memorized_or_no_longer_are(write: Write) -> None:
    # the threshold is 12, the largest non-member; m24 rises from 16 bits to the most of all, and was beyond it before
    bits = {f"m{i:02}": 40.0 - i for i in range(25)}
    old = table({**bits, "rises": 12.0}, {"x": 12.0, "y": 0.0})
    new = table({**bits, "m00": 5.0, "m24": 50.0, "rises": 20.0, "new": 13.0, "low": 11.0}, {"x": 12.0, "y": 0.0})
    high = compare_audits(write(old), write(new)).high
    assert high is not None
    assert (high.old_threshold, high.new_threshold) == (12, 12)
    assert (high.n_old, high.n_new) == (25, 26)
    assert [(s.sample_id, s.old_bits, s.new_bits) for s in high.appeared] == [
        ("rises", 12.0, 20.0),
        ("new", None, 13.0),
    ]
    assert [(s.sample_id, s.old_bits, s.new_bits) for s in high.vanished] == [("m00", 40.0, 5.0)]
    assert (high.n_appeared, high.n_vanished) == (2, 1)
    assert high.appeared[0].text_sha256 == "hash of rises"


def test_a_harmless_model_has_no_highly_memorized_members_that_come_and_go(write: Write) -> None:
    """All members hold less than 10 bits, in another order each time."""
    rng = np.random.default_rng(3)
    names, others = [f"m{i}" for i in range(200)], [f"x{i}" for i in range(200)]

    def drawn() -> SampleTable:
        return table(*(dict(zip(side, rng.uniform(-3, 3, 200), strict=True)) for side in (names, others)))

    high = compare_audits(write(drawn()), write(drawn())).high
    assert high is not None
    assert (high.n_old, high.n_new, high.n_appeared, high.n_vanished) == (0, 0, 0, 0)


def test_without_non_members_ten_bits_are_high(write: Write) -> None:
    high = compare_audits(write(table({"a": 9.0, "b": 1.0}, {})), write(table({"a": 11.0, "b": 1.0}, {}))).high
    assert high is not None
    assert [s.sample_id for s in high.appeared] == ["a"]


def test_a_threshold_that_one_audit_cannot_have_is_used_in_neither(write: Write) -> None:
    """Else members would count as new only because nothing says any more how far noise reaches."""
    samples = {"a": 30.0, "b": 29.0, "c": 1.0}
    high = compare_audits(write(table(samples, {"x": 50.0, "y": 0.0})), write(table(samples, {}))).high
    assert high is not None
    assert (high.old_threshold, high.new_threshold, high.n_appeared) == (10, 10, 0)


def test_missing_files_are_named(write: Write, tmp_path: Path) -> None:
    good = write(OLD)
    with pytest.raises(ResultError, match="does not exist; give the folder that `auditor audit --out` wrote"):
        compare_audits(good, tmp_path / "none")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ResultError, match=r"holds no result\.json"):
        compare_audits(empty, good)
    (empty / "curve.json").write_text("{}")
    with pytest.raises(ResultError, match="several checkpoints, give the folder of one"):
        compare_audits(empty, good)
    (good / "samples.parquet").unlink()
    with pytest.raises(ResultError, match=r"holds no samples\.parquet"):
        compare_audits(good, good)
    assert compare_audits(write(OLD) / "result.json", write(NEW)).changes  # the document stands for its folder


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (table({"a": 3.0, "b": 1.0}, {"x": 2.0, "y": 0.0}), "members have 3 samples there and 2 here"),
        (replace(OLD, n_bytes=OLD.n_bytes + 1), "members have 30 bytes there and 33 here"),
        (replace(OLD, n_tokens=OLD.n_tokens + 1), "members have 15 tokens there and 18 here"),
        (replace(OLD, signed_bits=OLD.reference_bits), "mean bits are others"),
        (replace(OLD, signed_bits=None), "the samples have none"),
        (replace(OLD, scores={"reference": np.arange(5.0)}), "the AUC of reference is another"),
        (replace(OLD, scores={}), r"no column score\.reference"),
        (replace(OLD, scores={"reference": np.array([1, 2, 3, np.nan, 5])}), "not finite for every sample"),
    ],
)
def test_samples_of_another_audit_are_refused(write: Write, other: SampleTable, message: str) -> None:
    with pytest.raises(ResultError, match=message):
        compare_audits(write(OLD), write(other, document(OLD)))


def test_changed_bytes_of_the_samples_are_refused(write: Write) -> None:
    result = document(OLD)
    stated = replace(result, provenance=replace(result.provenance, samples_sha256="0" * 64))
    with pytest.raises(ResultError, match=r"bytes are others \(SHA-256\)"):
        compare_audits(write(OLD), write(OLD, stated))


def test_broken_files_are_refused_in_one_line(write: Write) -> None:
    good, bad = write(OLD), write(OLD)
    content = (bad / "samples.parquet").read_bytes()
    (bad / "samples.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(ResultError, match="cannot read the samples") as failed:
        compare_audits(good, bad)
    assert "\n" not in str(failed.value)
    columns = pq.read_table(good / "samples.parquet")
    words = columns.set_column(columns.column_names.index("n_bytes"), "n_bytes", [["many"] * 5])
    pq.write_table(words, bad / "samples.parquet")
    with pytest.raises(ResultError, match="cannot read the samples"):
        compare_audits(good, bad)


def test_a_percentage_is_no_level(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"use 0\.95"):
        compare_audits(write(OLD), write(NEW), level=95)


def test_the_document_reads_back_and_fits_its_schema(write: Write, tmp_path: Path) -> None:
    found = compare_audits(write(OLD), write(NEW), level=0.9)
    assert {row.change.level for row in found.changes} == {0.9}
    file = tmp_path / "comparison.json"
    file.write_text(to_text(found), encoding="utf-8")
    assert read_comparison(file) == found
    jsonschema.validate(
        json.loads(file.read_text()), json.loads((ROOT / "docs" / "comparison.schema.json").read_text())
    )


def test_near_duplicates_that_only_the_audit_knew_are_warned_of(write: Write) -> None:
    result = document(OLD)
    near = CheckResult(
        name="near_duplicates_within", verdict="warn", figure=4.0, unit="samples with a near-duplicate", detail=""
    )
    assert result.soundness is not None
    clustered = replace(result, soundness=replace(result.soundness, verdict="warn", checks=(near,)))
    assert "near-duplicates" in compare_audits(write(OLD, clustered), write(NEW)).warnings[0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.1, 0.3]), st.booleans())
def test_a_rate_changes_back_by_as_much(seed: int, fpr: float, grouped: bool) -> None:
    rng = np.random.default_rng(seed)
    is_member = rng.permutation(np.arange(60) < 30)
    before, after = rng.integers(0, 9, 60).astype(float), rng.integers(0, 9, 60).astype(float)
    groups = [f"g{i // 3}" for i in range(60)] if grouped else None
    there, back = (
        tpr_change(a, b, is_member, fpr=fpr, level=0.95, groups=groups) for a, b in ((before, after), (after, before))
    )
    one, other = there.estimate, back.estimate
    assert (one.low, one.value, one.high) == pytest.approx((-other.high, -other.value, -other.low))
    assert there.p_value is not None
    assert (there.p_value < 0.05) == (one.low > 0 or one.high < 0)
    assert one.value == pytest.approx(_best_rate(after, is_member, fpr) - _best_rate(before, is_member, fpr))


def _best_rate(scores: np.ndarray, is_member: np.ndarray, fpr: float) -> float:
    """Try every threshold."""
    allowed = int(fpr * (~is_member).sum() + 1e-9)
    thresholds = (t for t in (*scores, np.inf) if (scores[~is_member] >= t).sum() <= allowed)
    return max(float((scores[is_member] >= t).mean()) for t in thresholds)


def test_a_rate_that_too_few_non_members_resolve_is_undefined() -> None:
    is_member = np.arange(20) < 10
    found = tpr_change(np.arange(20.0), np.arange(20.0)[::-1], is_member, fpr=0.01, level=0.95)
    assert found.p_value is None
    assert "at least 100 non-members" in (found.estimate.undefined_reason or "")


def test_an_undefined_estimate_has_no_change() -> None:
    known = Estimate(value=1.0, low=0.0, high=2.0, level=0.95, method="t", n_members=3, n_non_members=3)
    found = independent_change(known, Estimate.undefined("nothing there", level=0.95))
    assert found.estimate.undefined_reason == "after: nothing there"
    with pytest.raises(ValueError, match="one level"):
        independent_change(known, replace(known, level=0.9))
    certain = replace(known, low=1.0, high=1.0)
    assert independent_change(certain, certain).p_value == 1.0
    moved = independent_change(certain, replace(certain, value=2.0, low=2.0, high=2.0))  # excludes 0, and says no more
    assert moved.p_value == pytest.approx(0.05)
    assert moved.p_value < 1 - 0.95


@pytest.mark.slow
@pytest.mark.parametrize("size", [200, 1000])
@pytest.mark.parametrize("fpr", [0.01, 0.05])
@pytest.mark.parametrize(("alike_members", "alike_others"), [(0.95, 0.95), (0.95, 0.3), (0.3, 0.95), (0.0, 0.0)])
@pytest.mark.parametrize(("before", "after"), [(1.0, 1.0), (0.5, 1.5), (2.5, 0.0)])
def test_the_interval_of_a_changed_rate_holds(
    size: int, fpr: float, alike_members: float, alike_others: float, before: float, after: float
) -> None:
    rng = np.random.default_rng(5)
    is_member = np.arange(2 * size) < size
    alike = np.where(is_member, alike_members, alike_others)
    truth = float(np.diff(stats.norm.sf(stats.norm.isf(fpr) - np.array([before, after])))[0])
    n_held, n = 0, 200
    for _ in range(n):
        first, noise = rng.normal(size=(2, 2 * size))
        second = alike * first + np.sqrt(1 - alike**2) * noise
        found = tpr_change(first + before * is_member, second + after * is_member, is_member, fpr=fpr, level=0.95)
        low, high = found.estimate.low, found.estimate.high
        n_held += low <= truth <= high
    assert n_held / n >= stats.binom.ppf(1e-4, n, 0.95) / n
