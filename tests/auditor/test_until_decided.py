"""An audit that stops when it is decided: fewer texts, the same scores, the same verdict, and no early excuse."""

import json
import shutil
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from auditor.auditing import before_scoring, until_decided
from auditor.auditing.inputs import read_inputs
from auditor.auditing.until_decided import audit_until_decided
from auditor.config import AuditConfig, DataSpec, ModelSpec
from auditor.documents.estimate import Estimate
from auditor.documents.gates import GateReport
from auditor.engine import gradual
from auditor.engine.scoring import load_weights
from auditor.engine.signals import collect_signals
from auditor.engine.store import ScoreStore
from auditor.errors import ConfigError
from auditor.gates import sequential as early_gates
from auditor.gates.policy import Gate, parse_policy
from auditor.phases import UNTIL_DECIDED
from helpers import Run, build_tokenizer, make_texts, save_gpt2, write_jsonl

World = dict[str, Path]
N = 128
ROOT = Path(__file__).parents[2]
TODAY = date(2026, 1, 1)


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    """Return a score store that holds the reference's scores."""
    return Path(shutil.copytree(world["scores"], tmp_path / "scores"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Train a target on the members; ``innocent`` and the reference were trained on other texts of the kind."""
    from transformers import AutoModelForCausalLM

    from auditor.experiments.training import save, train

    root = tmp_path_factory.mktemp("until-decided")
    tokenizer = build_tokenizer()
    names = ("members", "non_members", "others", "more")
    texts = {name: make_texts(N, seed=20 + i, words=16) for i, name in enumerate(names)}
    found = {name: write_jsonl(root / f"{name}.jsonl", some, prefix=name) for name, some in texts.items()}
    for seed, (name, trained_on, steps) in enumerate(
        [("target", "members", 300), ("reference", "others", 60), ("innocent", "more", 60)]
    ):
        start = save_gpt2(root / f"{name}-start", seed=seed, tokenizer=tokenizer, scale=0.02)
        weights = AutoModelForCausalLM.from_pretrained(start)
        ids = [[0, *tokenizer(text)["input_ids"]] for text in texts[trained_on]]
        train(weights, ids, steps=steps, batch_size=32, learning_rate=2e-2, seed=seed, warmup=5)
        save(weights, tokenizer, root / name)
        found[name] = root / name
    found["scores"] = root / "scores"  # of the reference alone
    config = config_of(found, target="reference", references=())
    inputs = read_inputs(config)
    collect_signals(config, inputs.request, scores_folder=found["scores"])
    return found


def gates(*metrics: str, most: float = 0.6, **top: str) -> str:
    lines = ["version = 1", *(f'{key} = "{value}"' for key, value in top.items())]
    for i, metric in enumerate(metrics):
        lines += ["[[gate]]", f'name = "g{i}"', f'metric = "{metric}"', f"max = {most}"]
    return "\n".join(lines) + "\n"


def config_of(world: World, *, target: str = "target", **changes: Any) -> AuditConfig:
    return AuditConfig(**{
        "target": ModelSpec(path=str(world[target])),
        "references": (ModelSpec(path=str(world["reference"])),),
        "members": DataSpec(path=str(world["members"])),
        "non_members": DataSpec(path=str(world["non_members"])),
        **changes,
    })  # fmt: skip


def attacks_of(*names: str) -> Any:
    given = {"target": "x", "members": "y", "references": ["r", "s"], "attacks": list(names)}
    return AuditConfig.from_options(given).attacks


def decided(config: AuditConfig, policy: str, folder: Path, **more: Any) -> GateReport:
    return audit_until_decided(config, parse_policy(policy, "policy"), scores_folder=folder, today=TODAY, **more)


def stored_keys(folder: Path, config: AuditConfig) -> dict[str, float]:
    """Total log-probability of every stored text of the target, by key."""
    from auditor.engine.models import open_models

    store = ScoreStore(folder, open_models(config)[0].key)
    return {key.decode(): float(np.sum(row.logprob, dtype=np.float64)) for key, row in store.rows()}


def test_a_leaky_target_fails_before_all_texts_are_scored_with_the_scores_of_a_full_audit(
    world: World, folder: Path, tmp_path: Path, run: Run
) -> None:
    config = config_of(world)
    report = decided(config, gates("attacks.headline.auc", "attacks.loss.auc"), folder)
    assert [gate.outcome for gate in report.gates] == ["fail", "fail"], report
    assert (report.exit_code, report.passed, report.soundness) == (1, False, report.soundness)
    stop = report.early_stop
    assert stop is not None
    assert 0 < stop.n_texts_scored < stop.n_texts / 2
    assert stop.n_texts + stop.n_texts_left_out == 2 * N
    assert any(f"decided after {stop.n_texts_scored} of {stop.n_texts} texts" in note for note in report.notes)
    found = stored_keys(folder, config)
    assert len(found) == stop.n_texts_scored
    assert report.gates[0].low > 0.6
    assert report.gates[0].level == pytest.approx(1 - 0.05 / 2)
    assert "confidence sequence" in report.gates[0].method
    assert report.gates[0].p_value_holm == pytest.approx(min(1, 2 * report.gates[0].p_value))
    assert report.gates[0].p_value_holm <= 0.025

    shutil.copytree(world["scores"], tmp_path / "full" / "scores")
    ran = run("audit", "--target", world["target"], "--reference", world["reference"], "--members", world["members"],
              "--non-members", world["non_members"], "--attack", "loss", "--attack", "reference", "--out",
              tmp_path / "full")  # fmt: skip
    assert ran.code == 0, ran.err
    whole = stored_keys(tmp_path / "full" / "scores", config)
    assert len(whole) > len(found)
    assert {key: whole[key] for key in found} == pytest.approx(found, rel=1e-5)
    measured = {
        one["attack"]: one["auc"] for one in json.loads((tmp_path / "full" / "result.json").read_text())["attacks"]
    }
    for gate, label in zip(report.gates, ("reference", "loss"), strict=True):
        assert gate.low <= measured[label]["value"] <= gate.high
        assert gate.description == f"AUC of {label}"


@pytest.mark.slow
def test_an_innocent_target_does_not_fail_and_what_is_open_in_the_end_is_inconclusive(
    world: World, folder: Path
) -> None:
    config = config_of(world, target="innocent")
    strict = decided(config, gates("attacks.headline.auc", most=0.5001), folder)
    assert strict.gates[0].outcome == "inconclusive"  # a figure of one half cannot be told from a limit there
    assert strict.early_stop is not None
    assert strict.early_stop.n_texts_scored == strict.early_stop.n_texts
    assert strict.gates[0].n_members + strict.gates[0].n_non_members == strict.early_stop.n_texts
    assert "confidence sequence" in strict.gates[0].method
    assert any("1 of 1 gates not decided" in note for note in strict.notes)
    assert strict.exit_code == 1
    assert decided(config, gates("attacks.headline.auc", most=0.5001, inconclusive="pass"), folder).exit_code == 0
    mild = decided(config, gates("attacks.headline.auc", most=0.75), folder)
    assert (mild.gates[0].outcome, mild.exit_code) == ("pass", 0)
    assert mild.early_stop is not None
    assert mild.early_stop.n_tokens_scored == 0  # all were in the store
    assert mild.early_stop.n_texts_scored < mild.early_stop.n_texts


@pytest.mark.slow
def test_the_target_is_not_run_if_a_check_vetoes(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [json.loads(line) for line in world["non_members"].read_text().splitlines()]
    for row in rows:
        row["text"] += " Written by another hand, at another time, and far longer than all others."
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = config_of(world, non_members=DataSpec(path=str(other)))
    monkeypatch.setattr(gradual, "load_weights", lambda *_, **__: pytest.fail("the target was loaded"))
    report = decided(config, gates("attacks.headline.auc", "memorization.net_bits_per_member"), tmp_path / "scores")
    assert [gate.outcome for gate in report.gates] == ["refused", "refused"]
    assert report.soundness == "veto"
    assert "blind_baseline" in report.gates[0].reason
    assert report.gates[0].value is None
    assert report.exit_code == 1
    assert report.early_stop is not None
    assert report.early_stop.n_texts_scored == 0
    assert stored_keys(tmp_path / "scores", config) == {}
    lenient = decided(config, gates("attacks.headline.auc", unsound="pass"), tmp_path / "scores")
    assert (lenient.gates[0].outcome, lenient.exit_code) == ("refused", 0)


def asked(metric: str, *, most: float, low: float, value: float, high: float) -> early_gates.Question:
    """A question whose figure is known to lie in an interval."""
    topic = early_gates.Topic(
        gate=Gate(name="g", metric=metric, max=most),
        leaf=metric.rpartition(".")[2],
        attack=SimpleNamespace(label="loss") if metric.startswith("attacks.") else None,
    )
    question = early_gates.Question(topic=topic, level=0.95, block=(4, 4), cap=100.0)
    found = Estimate(value=value, low=low, high=high, level=0.95, method="m", n_members=8, n_non_members=8)
    question._sequence = SimpleNamespace(look=lambda *_, **__: found)
    question.look(None, None, last=False)
    return question


@pytest.mark.parametrize(
    ("metric", "most", "interval", "decision"),
    [
        ("attacks.loss.auc", 0.6, (0.01, 0.05, 0.2), "refused"),
        ("attacks.loss.auc", 0.6, (0.1, 0.2, 0.55), "undecided"),  # 0.8 were the sides swapped: wait for more texts
        ("attacks.loss.auc", 0.6, (0.4, 0.45, 0.55), "pass"),  # 0.55 were they swapped: within the limit, too
        ("attacks.loss.auc", 0.6, (0.45, 0.52, 0.58), "pass"),
        ("memorization.net_bits_per_member", 8.0, (-15.0, -13.9, -12.0), "refused"),
        ("memorization.net_bits_per_member", 8.0, (-20.0, -10.0, 2.0), "undecided"),
        ("memorization.net_bits_per_member", 8.0, (-2.0, -1.0, 1.0), "pass"),
    ],
)
def test_what_may_be_swapped_sides_does_not_pass(
    metric: str, most: float, interval: tuple[float, float, float], decision: str
) -> None:
    low, value, high = interval
    question = asked(metric, most=most, low=low, value=value, high=high)
    assert question.decision == decision
    assert ("nothing may be concluded" in question.reason) == (decision == "refused")
    assert ("cannot be told; check the sides" in question.reason) == (decision == "undecided")


def test_swapped_sides_are_refused(world: World, folder: Path) -> None:
    config = config_of(
        world, members=DataSpec(path=str(world["non_members"])), non_members=DataSpec(path=str(world["members"]))
    )
    metrics = ("attacks.headline.auc", "attacks.reference.tpr_at_fpr.0.2")
    report = decided(config, gates(*metrics), folder)
    assert [gate.outcome for gate in report.gates] == ["refused", "refused"]
    assert all(gate.reason.startswith("the headline attack is inverted (AUC 0") for gate in report.gates)
    assert all(gate.p_value is None for gate in report.gates)
    assert report.exit_code == 1
    assert decided(config, gates(*metrics, unsound="pass"), folder).exit_code == 0


def test_a_target_that_says_what_the_reference_says_is_refused(world: World, folder: Path, tmp_path: Path) -> None:
    """Its weights hash to something else, so that only the scores can tell."""
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "copy"
    copy.mkdir()
    for file in world["reference"].iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    weights = load_file(copy / "model.safetensors")
    weights["transformer.h.0.attn.c_attn.bias"] += 1e-9
    weights["transformer.h.0.attn.c_attn.bias"][0] += 1e-6
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    config = config_of(world | {"copy": copy}, target="copy")
    report = decided(config, gates("attacks.loss.auc", most=0.75), folder)
    assert report.gates[0].outcome == "refused"
    assert report.gates[0].reason == "the audit is not sound: distinct_models"
    assert report.early_stop is not None
    assert report.early_stop.n_texts_scored > 0


def test_the_order_depends_on_seed_and_texts_alone(world: World, tmp_path: Path) -> None:
    shuffled = tmp_path / "members.jsonl"
    lines = world["members"].read_text().splitlines(keepends=True)
    shuffled.write_text("".join(lines[::-1]))

    def drawn(pairs: dict[str, str], **changes: Any) -> list[str]:
        inputs = read_inputs(config_of(world, **changes))
        groups = [pairs.get(one) for one in inputs.data.ids]
        return [inputs.data.ids[place] for place in before_scoring._random_order(inputs, groups if pairs else None)]

    one = drawn({})
    assert sorted(one) == sorted(read_inputs(config_of(world)).data.ids)
    assert one == drawn({}, members=DataSpec(path=str(shuffled)))
    assert one != drawn({}, seed=1)
    pairs = {f"members{i}": f"group {i // 2}" for i in range(N)}
    some = drawn(pairs)
    assert some == drawn(pairs, members=DataSpec(path=str(shuffled)))
    assert len(some) == N // 2 + N
    first = [name.startswith("members") for name in some[:30]]
    assert 9 <= sum(first) <= 11  # the sides are dealt evenly: one in three


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(
    world: World, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, policy = config_of(world, target="innocent"), gates("attacks.headline.auc", most=0.5001)
    killed = Path(shutil.copytree(folder, tmp_path / "killed"))
    whole = decided(config, policy, folder)
    n_loaded = []
    score = gradual.GradualTarget.score

    def dies(self: gradual.GradualTarget, places: slice) -> None:
        if places.start >= 96:
            raise KeyboardInterrupt
        score(self, places)

    monkeypatch.setattr(gradual.GradualTarget, "score", dies)
    with pytest.raises(KeyboardInterrupt):
        decided(config, policy, killed)
    assert len(stored_keys(killed, config)) == 96
    monkeypatch.setattr(gradual.GradualTarget, "score", score)
    monkeypatch.setattr(gradual, "load_weights", lambda *a, **k: n_loaded.append(1) or load_weights(*a, **k))
    again = decided(config, policy, killed)
    assert len(n_loaded) == 1  # once for all parts
    assert again.gates == whole.gates
    assert again.early_stop is not None
    assert whole.early_stop is not None
    assert 0 < again.early_stop.n_tokens_scored < whole.early_stop.n_tokens_scored


def test_one_text_of_a_group_is_scored(world: World, folder: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in world["members"].read_text().splitlines()]
    for i, row in enumerate(rows):
        row["group"] = f"person {i // 2}"
    grouped = tmp_path / "grouped.jsonl"
    grouped.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = config_of(world, members=DataSpec(path=str(grouped)))
    report = decided(config, gates("attacks.headline.auc", most=0.9999), folder)
    assert report.early_stop is not None
    assert report.early_stop.n_texts_left_out >= N // 2
    assert any("texts left out: one of each group is scored" in note for note in report.notes)


def test_every_kind_of_gate_is_looked_at_and_the_first_decision_is_kept(world: World, folder: Path) -> None:
    metrics = ("attacks.any.auc", "attacks.reference.tpr_at_fpr.0.2", "memorization.debiased_bits_per_member",
               "memorization.net_bits_per_member", "law.auc")  # fmt: skip
    config = config_of(world, attacks=attacks_of("loss", "reference", "lowercase"))
    report = decided(config, gates(*metrics, most=0.3), folder)
    assert [gate.gate for gate in report.gates] == ["g0/loss", "g0/reference", "g0/lowercase", "g1", "g2", "g3"]
    assert [gate.metric for gate in report.gates][:2] == ["attacks.loss.auc", "attacks.reference.auc"]
    levels = {gate.level for gate in report.gates if gate.level is not None}
    assert levels == {1 - (1 - 0.95) / 6}
    assert "Bonferroni over 6" in report.correction
    assert report.elsewhere == ("g4",)
    by_name = {gate.gate: gate for gate in report.gates}
    assert by_name["g0/reference"].outcome == "fail"
    first, everything = by_name["g0/reference"], by_name["g2"]
    assert first.n_members + first.n_non_members < 2 * N  # as it was when it was decided
    assert "all texts, after looks at some" in everything.method  # fewer than 200 texts a side fail no gate early
    assert everything.n_members + everything.n_non_members == report.early_stop.n_texts
    assert everything.outcome == ("fail" if everything.low > 0.3 else "inconclusive")
    assert everything.unseen_below == pytest.approx(1 - ((1 - everything.level) * 0.4) ** (1 / N))
    assert (everything.unit, first.unit) == ("bits", "")
    assert by_name["g1"].description == "TPR at an FPR of 0.2 of reference"
    uncorrected = decided(config, gates(*metrics, most=0.3, correction="none"), folder)
    assert {gate.level for gate in uncorrected.gates if gate.level is not None} == {0.95}
    assert all(gate.p_value_holm is None for gate in uncorrected.gates)


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("attacks.best.auc", "the best attack is chosen on all texts"),
        ("memorization.largest_sample_bits", "made of all texts at once"),
        ("attacks.headline.auc_residualised", "made of all texts at once"),
        ("attacks.min_k:k=0.3.auc", "this audit does not run min_k:k=0.3"),
        ("change.attacks.headline.auc", "made of all texts at once"),
        ("attacks.samia.auc", "takes more than token scores of the target: samia"),
        ("attacks.rmia.auc", "compares samples with each other: rmia"),
        ("attacks.headline.tpr_at_fpr.2", "between 0 and 1"),
    ],
)
def test_gates_that_take_all_texts_are_refused_before_a_model_is_opened(
    world: World, tmp_path: Path, metric: str, why: str
) -> None:
    named = attacks_of("loss", "reference", "samia", "rmia")
    both = (ModelSpec(path=str(world["reference"])), ModelSpec(path=str(tmp_path / "not-there")))
    with pytest.raises(ConfigError, match="cannot be decided early") as found:
        decided(config_of(world, attacks=named, references=both), gates("attacks.loss.auc", metric), tmp_path)
    assert why in str(found.value)
    assert "g1" in str(found.value)
    assert "g0" not in str(found.value)


@pytest.mark.parametrize(
    ("changes", "policy", "why"),
    [
        ({"non_members": None}, gates("attacks.loss.auc"), "give --non-members"),
        ({"retrained": ModelSpec(path="r")}, gates("attacks.loss.auc"), "--retrained"),
        ({"engine": "ray"}, gates("attacks.loss.auc"), "--engine ray"),
        ({"references": ()}, gates("memorization.net_bits_per_member"), "bits need a reference model"),
        ({}, gates("law.auc"), "no gate is about an audit"),
    ],
)
def test_what_takes_all_texts_is_refused(
    world: World, tmp_path: Path, changes: dict[str, Any], policy: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        decided(config_of(world, **changes), policy, tmp_path)


def test_the_command_line(world: World, tmp_path: Path, run: Run) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(gates("attacks.headline.auc"))
    common = ("--reference", world["reference"], "--members", world["members"], "--non-members", world["non_members"],
              "--policy", policy)  # fmt: skip
    for name in ("early", "full"):
        shutil.copytree(world["scores"], tmp_path / name / "scores")
    early = ("audit", "--target", world["target"], *common, "--until-decided", "--out", tmp_path / "early")
    ran = run(*early)
    assert ran.code == 1, ran.err
    assert "decided after" in ran.out
    assert "Exit code 1" in ran.out
    assert "target · audited until every gate is decided · policy" in ran.out
    assert set(UNTIL_DECIDED) <= set(ran.begun)
    assert ran.phases[0] == "1/5 loading PyTorch"
    assert sorted(path.name for path in (tmp_path / "early").iterdir()) == ["checksums.json", "gates.json", "scores"]
    document = json.loads((tmp_path / "early" / "gates.json").read_text())
    again = run(*early, "--json")
    printed = json.loads(again.out)
    assert again.code == 1
    assert printed["gates"] == document["gates"]
    assert printed["early_stop"]["n_tokens_scored"] == 0

    told = run("gate", tmp_path / "early", "--junit", tmp_path / "junit.xml")
    assert told.code == 1
    assert "decided after" in told.out
    assert "checksums" not in told.out
    verified = run("verify", tmp_path / "early", "--json")
    found = {claim["name"]: claim["status"] for claim in verified.document["claims"]}
    assert found.pop("the rest") == "not_checked"
    assert found == dict.fromkeys(("gates.json", "verdict", "policy", "target"), "matches")
    (tmp_path / "moved").mkdir()
    shutil.copy(tmp_path / "early" / "gates.json", tmp_path / "moved")
    assert "no checksums.json lay beside the verdict" in run("gate", tmp_path / "moved").out
    assert "<testcase" in (tmp_path / "junit.xml").read_text()
    assert run("gate", tmp_path / "early" / "gates.json", "--warn-only").code == 0
    assert run("gate", tmp_path / "early", "--policy", policy).code == 2
    (tmp_path / "early" / "gates.json").write_text(json.dumps({**document, "passed": "yes"}))
    assert run("gate", tmp_path / "early").code == 2
    (tmp_path / "early" / "gates.json").write_text(json.dumps({**document, "subject": "another"}))
    for command in ("gate", "verify"):
        changed = run(command, tmp_path / "early")
        assert changed.code == 2
        assert "checksums.json" in changed.err
    (tmp_path / "early" / "checksums.json").write_text('{"schema_version": "1.0", "files": {}}')
    assert run("gate", tmp_path / "early").code == run("verify", tmp_path / "early").code == 2

    full = run("audit", "--target", world["target"], *common, "--attack", "loss", "--attack", "reference", "--out",
               tmp_path / "full", "--json")  # fmt: skip
    assert full.code == 1
    assert json.loads(full.out)["attacks"]
    assert "Exit code 1" in full.err
    judged = json.loads((tmp_path / "full" / "gates.json").read_text())
    assert judged["early_stop"] is None
    assert judged["result"].endswith("result.json")
    assert judged == json.loads(run("gate", tmp_path / "full", "--policy", policy, "--json").out)

    policy.write_text(gates("attacks.best.auc"))
    assert "the verdict of another policy" in run(*early).err
    refused = run(*early, "--overwrite")
    assert refused.code == 2
    assert "cannot be decided early" in refused.err
    assert run("audit", "--target", world["target"], "--members", world["members"], "--until-decided").code == 2


AT_LEAST = """version = 1
[[gate]]
name = "recognised"
metric = "attacks.headline.auc"
min = 0.05
[[gate]]
name = "wanted"
metric = "memorization.debiased_bits_per_member"
min = 5000.0
[[gate]]
name = "plenty"
metric = "memorization.net_bits_per_member"
min = -5000.0
[[gate]]
name = "between"
metric = "memorization.net_bits_per_member"
min = -5000.0
max = 5000.0
"""


def test_gates_that_want_at_least_something_by_the_command_line(world: World, tmp_path: Path, run: Run) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(AT_LEAST)
    shutil.copytree(world["scores"], tmp_path / "early" / "scores")
    ran = run("audit", "--target", world["target"], "--reference", world["reference"], "--members", world["members"],
              "--non-members", world["non_members"], "--policy", policy, "--until-decided",
              "--out", tmp_path / "early")  # fmt: skip
    assert ran.code == 1, ran.err
    judged = {one["gate"]: one for one in json.loads((tmp_path / "early" / "gates.json").read_text())["gates"]}
    assert {name: one["outcome"] for name, one in judged.items()} == {
        "recognised": "pass", "wanted": "fail", "plenty": "pass", "between": "pass",
    }  # fmt: skip
    assert judged["wanted"]["reason"] == "the whole interval is below the limit"
    assert "asymptotic" not in judged["wanted"]["method"]  # an upper end refutes it: that has to be certain
    assert (judged["wanted"]["least"], judged["wanted"]["most"]) == (5000.0, None)
    assert judged["recognised"]["unseen_below"] is None
    assert all(judged[name]["unseen_below"] for name in ("wanted", "plenty", "between"))
    outputs = {"--junit": "j.xml", "--sarif": "s.sarif", "--summary": "s.md", "--model-card": "m.md"}
    options = [part for option, name in outputs.items() for part in (option, tmp_path / name)]
    told = run("gate", tmp_path / "early", *options)
    assert told.code == 1
    shown = {name: (tmp_path / name).read_text() for name in outputs.values()} | {"terminal": told.out}
    for where, text in shown.items():
        assert "at least" in text, where
        assert " ".join(text.split()).count("would not have been seen") >= 3, where  # beside each gate on a mean

    policy.write_text(AT_LEAST.replace("min = 5000.0", "min = 1.0\nmax = 0.5"))
    wrong = run("gate", "--check-policy", policy)
    assert wrong.code == 2
    assert "wanted" in wrong.err


@pytest.mark.slow
def test_a_verdict_on_part_of_the_texts_and_a_full_audit_share_no_folder(
    world: World, tmp_path: Path, run: Run
) -> None:
    policy, out = tmp_path / "policy.toml", tmp_path / "out"
    policy.write_text(gates("attacks.headline.auc"))
    shutil.copytree(world["scores"], out / "scores")
    common = ("audit", "--target", world["target"], "--reference", world["reference"], "--members", world["members"],
              "--non-members", world["non_members"], "--attack", "loss", "--attack", "reference",
              "--out", out)  # fmt: skip
    assert run(*common, "--policy", policy, "--until-decided").code == 1
    early = (out / "gates.json").read_bytes()

    full = run(*common, "--policy", policy)
    assert full.code == 1, full.err
    assert f"Removed: {out / 'gates.json'}" in full.err
    assert json.loads((out / "gates.json").read_text())["early_stop"] is None
    assert run(*common, "--overwrite").code == 0
    assert not (out / "gates.json").exists()

    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    for options in ([], ["--overwrite"]):
        ran = run(*common, "--policy", policy, "--until-decided", *options)
        assert (ran.code, ran.err.count("\n")) == (2, 1)
        assert "holds a full audit (result.json)" in ran.err
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before

    (out / "gates.json").write_bytes(early)  # as if both had been copied there
    ran = run("gate", out, "--policy", policy)
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "name the one to judge" in ran.err
    (out / "gates.json").write_text("{")  # cannot be told
    assert run("gate", out, "--policy", policy).code == 2
    (out / "gates.json").write_bytes(early)
    assert run("gate", out / "gates.json").code == 1
    named = run("gate", out / "result.json", "--policy", policy, "--json")
    assert json.loads(named.out)["checksums"] == "matched"
    assert json.loads(early)["checksums"] is None


@pytest.mark.slow
def test_a_pack_and_nothing_else_is_read_of_the_reference(world: World, folder: Path, tmp_path: Path, run: Run) -> None:
    policy, pack = tmp_path / "policy.toml", tmp_path / "probe.pack"
    policy.write_text(gates("attacks.headline.auc"))
    ran = run("pack", "--reference", world["reference"], "--members", world["members"], "--non-members",
              world["non_members"], "--out", pack)  # fmt: skip
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    ran = run("audit", "--target", world["target"], "--pack", pack, "--policy", policy, "--until-decided", "--out", out)
    assert ran.code == 1, ran.err
    document = json.loads((out / "gates.json").read_text())
    expected = decided(config_of(world), policy.read_text(), folder)
    assert document["gates"][0]["value"] == pytest.approx(expected.gates[0].value)
    assert "auditor-pack-" not in (out / "gates.json").read_text()


def test_looks_are_whole_blocks_and_end_with_the_texts() -> None:
    parts = list(until_decided.parts_of(100, 16))
    assert [(part.start, part.stop) for part in parts] == [(0, 32), (32, 64), (64, 96), (96, 100)]
    assert [part.stop for part in until_decided.parts_of(144, 72)] == [72, 144]


def test_gates_about_one_figure_with_different_limits_are_decided_apart(rng: np.random.Generator) -> None:
    """Against sequences fed by hand: an interval is the one of the look that decided."""
    from attacks import get_attack
    from auditor.estimates.scores import SampleScores
    from auditor.stats.sequential import AucSequence, decide

    policy = parse_policy(
        'version = 1\n[[gate]]\nname = "a"\nmetric = "attacks.loss.auc"\nmax = 0.55\n'
        '[[gate]]\nname = "b"\nmetric = "attacks.loss.auc"\nmin = 0.3\nmax = 0.95\n', "policy")  # fmt: skip
    topics, _ = early_gates.topics_of(policy, [get_attack("loss")], headline="loss", has_reference=False)
    questions = [early_gates.Question(topic=topic, level=0.975, block=(8, 8), cap=100.0) for topic in topics]
    member = np.tile([True, False], 400)
    scores = rng.normal(size=800) + np.where(member, 1.0, 0.0)
    oracle, expected = AucSequence(level=0.975), dict[str, Any]()
    for start in range(0, 800, 32):
        part = slice(start, start + 32)
        zero = np.zeros(32)
        seen = SampleScores(target_bits=zero, reference_bits=None, each_reference_bits=None,
                            attacks={"loss": scores[part]})  # fmt: skip
        for question in questions:
            question.look(seen, member[part], last=start + 32 == 800)
        oracle.update(scores[part], member[part])
        for name, limits in (("a", {"most": 0.55}), ("b", {"least": 0.3, "most": 0.95})):
            if name not in expected and decide(oracle.estimate(), **limits) != "undecided":
                expected[name] = oracle.estimate()
    assert [question.decision for question in questions] == ["fail", "pass"]
    assert [question.estimate for question in questions] == [expected["a"], expected["b"]]
    assert expected["a"] != expected["b"]
    assert questions[0].p_value <= 0.0125
    assert questions[0].reason == "the whole interval is above the limit"


def fed(leaf: str, limits: str, bits: np.ndarray, *, cap: float = 1000.0) -> tuple[early_gates.Question, int]:
    """Look at a gate on bits as the command does until it is decided; return it and the number of texts it took."""
    from auditor.estimates.scores import SampleScores

    policy = parse_policy(f'version = 1\n[[gate]]\nname = "g"\nmetric = "memorization.{leaf}"\n{limits}\n', "policy")
    (topic,), _ = early_gates.topics_of(policy, [], headline="loss", has_reference=True)
    question = early_gates.Question(topic=topic, level=0.95, block=(8, 8), cap=cap)
    is_member = np.tile([True, False], bits.size // 2)
    for part in until_decided.parts_of(bits.size, 16):
        own = bits[part]
        question.look(
            SampleScores(target_bits=np.zeros(own.size), reference_bits=own, each_reference_bits=None, attacks={}),
            is_member[part], last=part.stop == bits.size,
        )  # fmt: skip
        if question.decision != "undecided":
            break
    return question, part.stop


@pytest.mark.parametrize("leaf", early_gates.BITS)
def test_a_gate_on_bits_passes_early_only_where_holders_of_the_whole_cap_could_not_break_it(
    rng: np.random.Generator, leaf: str
) -> None:
    bits = rng.normal(0, 3, 3200)
    question, n = fed(leaf, "max = 16", bits)  # some 6 ranges / n above the mean; with their sign, on both sides
    assert (question.decision, "by betting above" in question.estimate.method) == ("pass", True)
    assert 2 * 6 * 1000 / 16 < n < 3200
    assert fed(leaf, "max = 16", bits, cap=100.0)[1] < n / 4  # of short texts fewer are enough
    question, n = fed(leaf, "max = 1", bits)
    assert (question.decision, n) == ("pass", 3200)
    assert question.estimate.method.startswith("all texts, after looks at some")
    assert question.estimate.unseen_below is not None


@pytest.mark.slow
@pytest.mark.parametrize("leaf", early_gates.BITS)
def test_a_gate_on_bits_fails_early_from_200_texts_a_side(rng: np.random.Generator, leaf: str) -> None:
    bits = rng.normal(0, 3, 3200) + np.tile([30.0, 0.0], 1600)
    question, n = fed(leaf, "max = 8", bits)
    assert (question.decision, n) == ("fail", 416)
    assert fed(leaf, "max = 8", bits[:200])[0].decision == "fail"  # all of 100 a side: the interval of a full audit
    question, n = fed(leaf, "min = 50", bits)
    assert question.decision == "fail"
    assert "asymptotic" not in question.estimate.method
    question, n = fed(leaf, "min = 8", bits)  # what passes by its lower end waits until that is certain too
    assert question.decision == "pass"
    assert n > 416
    assert "asymptotic" not in question.estimate.method


@pytest.mark.slow
@pytest.mark.parametrize("law", ["2% hold 100", "5% lose 100", "lognormal", "t3"])
def test_a_gate_on_bits_at_its_limit_is_rarely_decided_wrongly(law: str) -> None:
    """The short form of `python benchmarks/bits_until_decided.py`."""
    import sys

    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import bits_until_decided
    finally:
        sys.path.pop(0)
    runs = 200
    for n in ((300, 300), (600, 600)):
        for row in bits_until_decided.case_rows(law, n, runs, [1]):
            assert max(row["pass"], row["fail"]) <= stats.binom.isf(0.002, runs, 0.025) / runs, row
