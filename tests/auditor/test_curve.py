"""Several checkpoints of one training run: audited alike, compared text by text, written as one curve."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from auditor.auditing import pipeline
from auditor.comparison.curve import Tracer, checkpoint_names, step_of
from auditor.documents.curve import Curve, read_curve
from auditor.documents.files import to_text
from auditor.errors import ResultError
from auditor.stats import intervals
from auditor.stats.change import auc_change, mean_change
from auditor.stats.p_values import holm
from helpers import Run
from reports.curve import finding

ROOT = Path(__file__).parents[2]
STEPS = (10, 30, 60)


@pytest.fixture(scope="module")
def training(
    tmp_path_factory: pytest.TempPathFactory, tiny_models: dict[str, Path], tiny_data: dict[str, Path]
) -> Path:
    """Return a folder with a base and three checkpoints of its training on the members."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from auditor.experiments.training import one_thread, save, train

    root = tmp_path_factory.mktemp("training")
    base = tiny_models["reference"]
    (root / "base").symlink_to(base)
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    texts = [json.loads(line)["text"] for line in tiny_data["members"].read_text().splitlines()]
    tokens = [tokenizer(text)["input_ids"] for text in texts]
    done = 0
    for step in STEPS:
        with one_thread():
            train(model, tokens, steps=step - done, batch_size=15, learning_rate=1e-2, seed=step, warmup=3)
        save(model, tokenizer, root / "run" / f"checkpoint-{step}")
        done = step
    return root


def flags(training: Path, tiny_data: dict[str, Path], out: Path, target: str = "run/checkpoint-*") -> list[object]:
    return [
        *("--target", training / target, "--reference", training / "base", "--out", out),
        *("--members", tiny_data["members"], "--non-members", tiny_data["non_members"]),
        *("--attack", "loss", "--attack", "reference", "--fpr", "0.1,0.2"),
    ]


@pytest.fixture(scope="module")
def finished(training: Path, tiny_data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the command once on all three checkpoints."""
    from click.testing import CliRunner

    from auditor.cli import cli

    out = tmp_path_factory.mktemp("curve")
    arguments = [str(one) for one in flags(training, tiny_data, out)]
    ran = CliRunner().invoke(cli, ["audit", *arguments], catch_exceptions=False)
    return {"out": out, "printed": ran.output, "code": ran.exit_code}


@pytest.fixture
def stored(
    monkeypatch: pytest.MonkeyPatch, training: Path, tiny_data: dict[str, Path], finished: dict[str, Any]
) -> Path:
    """Let every audit read the scores of the finished run, whatever its own folder, so that no model runs twice."""
    audit = pipeline.audit
    scores = finished["out"] / "scores"
    monkeypatch.setattr(pipeline, "audit", lambda config, **given: audit(config, **given | {"scores_folder": scores}))
    return training


def test_every_checkpoint_has_its_report_and_all_share_the_scores(finished: dict[str, Any], training: Path) -> None:
    out = finished["out"]
    assert finished["code"] == 0, finished["printed"]
    names = [f"checkpoint-{step}" for step in STEPS]
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*names, "scores", "curve.json", "curve.html", "curve.md"]
    )
    for name in names:
        assert {path.name for path in (out / name).iterdir()} == {
            *("checksums.json", "result.json", "samples.parquet", "samples.csv", "report.html", "report.md")
        }
    reused = [json.loads((out / name / "result.json").read_text())["provenance"]["n_tokens_reused"] for name in names]
    assert reused[0] == 0
    assert reused[1] > 0  # the reference
    assert reused[1] == reused[2]
    curve = read_curve(out / "curve.json")
    jsonschema.validate(
        json.loads((out / "curve.json").read_text()), json.loads((ROOT / "docs" / "curve.schema.json").read_text())
    )
    assert [(point.label, point.step) for point in curve.points] == list(zip(names, STEPS, strict=True))
    assert (curve.n_checkpoints, curve.n_members, curve.n_non_members) == (3, 30, 30)
    assert (curve.calibrated, curve.headline_attack) == (True, "reference")
    assert curve.failed == ()
    assert [one.tpr.fpr for one in curve.points[0].attacks] == [0.1, 0.1]


def test_numbers_are_those_of_the_reports(finished: dict[str, Any]) -> None:
    for point in read_curve(finished["out"] / "curve.json").points:
        result = json.loads((finished["out"] / point.label / "result.json").read_text())
        memory = result["memorization"]
        assert point.bits_per_member.value == memory["debiased_bits_per_member"]["value"]
        assert point.capacity_used.high == memory["capacity_used"]["high"]
        assert [one.auc.value for one in point.attacks] == [one["auc"]["value"] for one in result["attacks"]]
        assert point.soundness == result["soundness"]["verdict"]
        assert point.weights_sha256 == result["provenance"]["models"][0]["weights_sha256"]


def test_a_change_is_paired_by_text(finished: dict[str, Any]) -> None:
    from sklearn.metrics import roc_auc_score

    points = read_curve(finished["out"] / "curve.json").points
    tables = [pq.read_table(finished["out"] / point.label / "samples.parquet").to_pydict() for point in points]
    assert points[0].bits_change is points[0].auc_change is points[0].bits_change_p is None
    for before, after, point in zip(tables, tables[1:], points[1:], strict=False):
        member = np.array(after["is_member"])
        moved = np.subtract(after["memorized_bits"], before["memorized_bits"])
        expected = intervals.mean_difference(moved[member], moved[~member], level=0.95)
        welch = stats.ttest_ind(moved[member], moved[~member], equal_var=False).confidence_interval(0.95)
        change, area = point.bits_change, point.auc_change
        assert change is not None
        assert area is not None
        assert change.value == pytest.approx(moved[member].mean() - moved[~member].mean())
        assert (change.low, change.high) == pytest.approx((expected.low, expected.high))
        assert (change.low, change.high) == pytest.approx((welch.low, welch.high), rel=0.5)  # but for skewness
        scores = [roc_auc_score(member, table["score.reference"]) for table in (before, after)]
        assert area.value == pytest.approx(scores[1] - scores[0])
    assert (
        points[-1].bits_per_member.value - points[0].bits_per_member.value
        == pytest.approx(  # type: ignore[operator]
            sum(point.bits_change.value for point in points[1:])  # type: ignore[union-attr, misc]
        )
    )


def test_bits_rise_and_where(finished: dict[str, Any]) -> None:
    curve = read_curve(finished["out"] / "curve.json")
    rise = curve.largest_rise
    assert rise is not None
    changes = {point.label: point.bits_change for point in curve.points[1:]}
    assert rise.change == changes[rise.after]
    assert rise.change.value == max(change.value for change in changes.values())  # type: ignore[type-var, union-attr]
    assert rise.change.low is not None
    assert rise.change.low > 0
    assert rise.p_value <= 0.05
    assert "Bits rise" in finished["printed"]
    assert all(len(line) <= 80 for line in finished["printed"].split("Checkpoint 3 of 3")[1].splitlines()[2:-1])


def test_json_is_the_curve(run: Run, stored: Path, tiny_data: dict[str, Path], tmp_path: Path) -> None:
    ran = run("audit", *flags(stored, tiny_data, tmp_path, "run/checkpoint-[13]0"), "--json")
    assert ran.document == json.loads((tmp_path / "curve.json").read_text())
    assert [point["step"] for point in ran.document["points"]] == [10, 30]
    quiet = run("audit", *flags(stored, tiny_data, tmp_path, "run/checkpoint-[13]0"), "--quiet")
    assert quiet.out.count("\n") == 1
    assert quiet.out[2:].startswith(f"{finding(read_curve(tmp_path / 'curve.json')).title}: ")


def test_the_curve_can_be_rendered_again(run: Run, finished: dict[str, Any]) -> None:
    out = finished["out"]
    for form in ("html", "md", "json"):
        written = (out / f"curve.{form}").read_text()
        for place in (out, out / "curve.json"):
            again = out / f"again.{form}"
            assert run("report", place, "--format", form, "--out", again).code == 0
            assert again.read_text() == written
            again.unlink()
            ran = run("report", place, "--format", form)
            links_nothing = re.sub(
                r'<a href="[^"#:]*/report\.html">(.*?)</a>', r"\1", written
            )  # a page that is nowhere
            assert (ran.code, ran.out.rstrip()) == (0, links_nothing.rstrip())


def test_one_match_is_an_audit_as_ever(run: Run, stored: Path, tiny_data: dict[str, Path], tmp_path: Path) -> None:
    ran = run("audit", *flags(stored, tiny_data, tmp_path, "run/checkpoint-3*"))
    assert ran.code == 0, ran.err
    assert (tmp_path / "result.json").exists()
    assert not (tmp_path / "curve.json").exists()


def test_no_match_says_what_was_looked_for(
    run: Run, training: Path, tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    ran = run("audit", *flags(training, tiny_data, tmp_path, "run/step-*"))
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "nothing matches" in ran.err


@pytest.mark.slow
def test_a_broken_checkpoint_costs_only_itself(
    run: Run, stored: Path, tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    import shutil

    shutil.copytree(stored / "run", tmp_path / "run")
    (tmp_path / "run" / "checkpoint-30" / "model.safetensors").write_bytes(b"half")
    shutil.copytree(stored / "run" / "checkpoint-10", tmp_path / "run" / "checkpoint-200")
    ran = run("audit", *flags(stored, tiny_data, tmp_path / "out", f"{tmp_path}/run/checkpoint-*"))
    assert ran.code == 2
    assert "1 of 4 checkpoints could not be audited" in ran.err
    assert "checkpoint-30" in ran.err.splitlines()[-1]
    curve = read_curve(tmp_path / "out" / "curve.json")
    assert [point.step for point in curve.points] == [10, 60, 200]
    assert [one.label for one in curve.failed] == ["checkpoint-30"]
    assert any("checkpoint-10, checkpoint-200 have the same weights" in line for line in curve.warnings)
    assert "checkpoint-30 could not be audited" in (tmp_path / "out" / "curve.md").read_text().replace("\\", "")


def test_if_all_fail_the_reason_is_given_and_nothing_is_written(
    run: Run, training: Path, tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    ran = run("audit", *flags(training, tiny_data, tmp_path), "--reference", tmp_path / "nowhere")
    assert ran.code == 2
    assert "3 of 3 checkpoints could not be audited" in ran.err
    assert "nowhere" in ran.err
    assert not (tmp_path / "curve.json").exists()


@pytest.mark.slow
def test_an_interrupt_keeps_what_is_finished(
    run: Run, stored: Path, tiny_data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = pipeline.audit

    def interrupted(config: Any, **given: Any) -> pipeline.Audit:
        if config.target.path.endswith("-60"):
            raise KeyboardInterrupt
        return audit(config, **given)

    monkeypatch.setattr(pipeline, "audit", interrupted)
    ran = run("audit", *flags(stored, tiny_data, tmp_path))
    assert ran.code == 2
    assert "run the same command again" in ran.err
    curve = read_curve(tmp_path / "curve.json")
    assert (len(curve.points), curve.n_checkpoints) == (2, 3)
    assert "1 checkpoint not audited yet" in (tmp_path / "curve.html").read_text()


def test_other_processes_go_through_the_checkpoints_in_the_same_order(
    run: Run, training: Path, tiny_data: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, Path]] = []
    runs: set[str] = set()

    def help_audit(config: Any, *, scores_folder: Path, rank: Any) -> None:
        seen.append((config.target.path, scores_folder))
        runs.add(rank.run)

    monkeypatch.setattr(pipeline, "help_audit", help_audit)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost"}.items():
        monkeypatch.setenv(name, value)
    assert run("audit", *flags(training, tiny_data, tmp_path)).code == 0
    assert seen == [(str(training / "run" / f"checkpoint-{step}"), tmp_path / "scores") for step in STEPS]
    assert len(runs) == 3  # who is done with one checkpoint is not taken for done with the next


@pytest.fixture
def audits(stored: Path, tiny_data: dict[str, Path], tmp_path: Path) -> list[pipeline.Audit]:
    """Return the audits of the first two checkpoints."""
    from auditor.config import AuditConfig

    options = {"members": str(tiny_data["members"]), "non_members": str(tiny_data["non_members"])}
    options |= {"references": [str(stored / "base")], "attacks": ["loss"]}  # type: ignore[dict-item]
    return [
        pipeline.audit(
            AuditConfig.from_options(options | {"target": str(stored / "run" / f"checkpoint-{step}")}),
            scores_folder=tmp_path,
        )
        for step in STEPS[:2]
    ]


def trace(audits: list[pipeline.Audit]) -> Curve:
    tracer = Tracer(target="run/*", n_checkpoints=len(audits))
    for i, one in enumerate(audits):
        tracer.add(f"c-{i}", f"run/c-{i}", one.result, one.samples, headline=one.result.attacks[0])
    return tracer.curve()


def test_other_texts_are_not_compared(audits: list[pipeline.Audit]) -> None:
    cut = replace(audits[1].samples, n_bytes=audits[1].samples.n_bytes - 1)
    curve = trace([audits[0], replace(audits[1], samples=cut)])
    change = curve.points[1].bits_change
    assert change is not None
    assert change.undefined_reason is not None
    assert "not scored on the same texts" in change.undefined_reason
    assert curve.largest_rise is None
    to_text(curve)


def test_a_vetoed_checkpoint_takes_no_part_in_the_largest_rise(audits: list[pipeline.Audit]) -> None:
    assert audits[1].result.soundness is not None
    rising = trace(audits)
    assert rising.largest_rise is not None
    veto = replace(audits[1].result, soundness=replace(audits[1].result.soundness, verdict="veto"))
    curve = trace([audits[0], replace(audits[1], result=veto)])
    assert curve.largest_rise is None
    assert any("forbids a verdict on c-1" in line for line in curve.warnings)


def test_a_curve_may_start_at_the_reference_itself(audits: list[pipeline.Audit]) -> None:
    found = audits[0].result.soundness
    assert found is not None
    checks = tuple(replace(one, verdict="veto") if one.name == "distinct_models" else one for one in found.checks)
    start = replace(audits[0].result, soundness=replace(found, verdict="veto", checks=checks))
    curve = trace([replace(audits[0], result=start), audits[1]])
    assert curve.points[0].soundness == found.verdict != "veto"
    assert curve.largest_rise == trace(audits).largest_rise is not None
    assert "c-0 is the reference itself: its bits are 0 by definition" in curve.warnings
    worse = tuple(replace(one, verdict="veto") if one.name == "length" else one for one in checks)
    start = replace(start, soundness=replace(found, verdict="veto", checks=worse))
    assert trace([replace(audits[0], result=start), audits[1]]).points[0].soundness == "veto"


def test_without_a_reference_there_are_attacks_but_no_bits(audits: list[pipeline.Audit]) -> None:
    bare = [
        replace(
            one,
            result=replace(one.result, memorization=None),
            samples=replace(one.samples, reference_bits=None, signed_bits=None, memorized_bits=None),
        )
        for one in audits
    ]
    last = trace(bare).points[1]
    assert last.bits_per_member.undefined_reason is not None
    assert "no reference model" in last.bits_per_member.undefined_reason
    assert last.bits_change_p is None
    assert last.auc_change is not None
    assert last.auc_change.value is not None


def test_names_are_safe_and_told_apart() -> None:
    paths = ["a/run-1", "b/run-1", "c/RUN-1", "d/<b>&/../x", "e/scores", "f/...", "g/" + "n" * 300, "h/é\x1b[31m"]
    names, notes = checkpoint_names(paths)
    assert names[:3] == ["run-1", "run-1-2", "RUN-1-3"]
    assert names[4] == "scores-2"
    assert len({name.casefold() for name in names}) == len(paths)
    assert all(name and len(name) < 100 and not set(name) & set("/\\<>&\x1b ") and name[0] != "." for name in names)
    assert sum("is called" in note for note in notes) == len(notes) == 6


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("run/checkpoint-1000", 1000),
        ("run/step20.gguf", 20),
        ("run/final", None),
        ("run/1-final", None),
        ("run/" + "9" * 40, None),
    ],
)
def test_steps(path: str, step: int | None) -> None:
    assert step_of(path) == step


def test_foreign_curves_are_refused(tmp_path: Path) -> None:
    (tmp_path / "curve.json").write_text('{"schema_version": "1.0"}')
    with pytest.raises(ResultError, match="not a curve"):
        read_curve(tmp_path / "curve.json")


SIDES = np.arange(40) < 18


def test_a_paired_mean_is_that_of_the_differences(rng: np.random.Generator) -> None:
    before, after = rng.normal(size=(2, 40))
    groups = [f"g{i % 11}" for i in range(40)]
    ours, theirs = (
        [g for g, m in zip(groups, SIDES, strict=True) if m],
        [g for g, m in zip(groups, SIDES, strict=True) if not m],
    )
    moved = after - before
    for clusters, x, y in ((None, None, None), (groups, ours, theirs)):
        found = mean_change(before, after, SIDES, level=0.9, groups=clusters)
        expected = intervals.mean_difference(moved[SIDES], moved[~SIDES], level=0.9, groups_x=x, groups_y=y)
        assert (found.estimate.low, found.estimate.high) == pytest.approx((expected.low, expected.high))
    plain = mean_change(before, after, SIDES, level=0.9)
    assert plain.p_value is not None
    assert plain.p_value >= stats.ttest_ind(moved[SIDES], moved[~SIDES], equal_var=False).pvalue  # few texts a side
    alone = mean_change(before, after, np.ones(40, dtype=bool), level=0.9)
    assert alone.p_value == pytest.approx(stats.ttest_1samp(moved, 0).pvalue, rel=0.1)


def test_of_enough_normal_values_it_is_welch(rng: np.random.Generator) -> None:
    x, y = (stats.norm.ppf((np.arange(n) + 0.5) / n) for n in (40, 50))  # quantiles: none lies far out
    sides, moved = np.arange(90) < 40, np.concatenate([x + 0.3, y])
    before = rng.normal(size=90)
    found = mean_change(before, before + moved, sides, level=0.9)
    expected = stats.ttest_ind(moved[sides], moved[~sides], equal_var=False)
    interval = expected.confidence_interval(0.9)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.estimate.caveat is None


def test_a_paired_auc_is_delongs(rng: np.random.Generator) -> None:
    before = rng.normal(size=40) + 0.3 * SIDES
    after = 0.6 * before + rng.normal(size=40) + 0.5 * SIDES

    def kernel(scores: Any) -> Any:
        return (scores[SIDES][:, None] > scores[~SIDES][None]) * 1.0

    moved = kernel(after) - kernel(before)
    variance = moved.mean(axis=1).var(ddof=1) / SIDES.sum() + moved.mean(axis=0).var(ddof=1) / (~SIDES).sum()
    found = auc_change(before, after, SIDES, level=0.95).estimate
    assert found.value == pytest.approx(moved.mean())
    assert found.low is not None
    assert found.high is not None
    half = (found.high - found.low) / 2
    assert 1.96 < half / np.sqrt(variance) < 2.2 or "Zou" in found.method
    few = (
        found
        if "Zou" in found.method
        else auc_change(np.r_[SIDES] + before * 0.3, SIDES * 1.0, SIDES, level=0.95).estimate
    )
    assert "Zou" in few.method


def test_a_perfect_attack_twice_is_no_proof_of_no_change(rng: np.random.Generator) -> None:
    found = auc_change(SIDES * 1.0, SIDES * 2.0 + 0.1 * rng.random(40), SIDES, level=0.95).estimate
    assert found.value == 0
    assert found.low is not None
    assert found.low < -0.05
    same = auc_change(SIDES * 1.0, SIDES * 1.0, SIDES, level=0.95).estimate
    assert (same.low, same.value, same.high) == (0, 0, 0)


def test_one_member_or_no_non_members_is_said() -> None:
    one = np.arange(5) < 1
    assert mean_change(np.zeros(5), np.ones(5), one, level=0.95).estimate.undefined_reason
    assert auc_change(np.zeros(5), np.ones(5), np.ones(5, dtype=bool), level=0.95).estimate.undefined_reason


def test_holm_is_step_down() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [0.03, None, 0.06, 0.06]
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]
