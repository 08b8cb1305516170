"""docs/ci.md is what happens: every command of it runs here in its order, on tiny models, and ends as the page says."""

import io
import json
import re
import runpy
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from helpers import build_tokenizer, make_texts, save_gpt2, write_jsonl

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "ci.md"
BLOCK = re.compile(r"(?:<!-- (?P<kind>exit|file) (?P<what>\S+) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)\n```", re.S)
OUTPUTS = ("gate.xml", "gate.sarif", "gate.md", "gate.svg", "card.md")
N_SIDE = 400
N_TEXTS = {100: 7, 200: 38, 300: 72, 400: 87, 500: 95, 700: 99}
"""Of a hundred models that leak nothing, how many the built-in policy passes, by texts a side: as the page says."""


class Block(NamedTuple):
    """A fenced block of the page, with the comment before it."""

    kind: str | None
    what: str | None
    language: str
    body: str


class Ran(NamedTuple):
    """A command of the page, and what came of it."""

    command: str
    expected: int
    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def blocks(page: str) -> list[Block]:
    return [Block(**found.groupdict()) for found in BLOCK.finditer(page)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what a team has before it reads the page: a corpus, a base model, the last release and a candidate."""
    from transformers import AutoModelForCausalLM

    from auditor.experiments.training import save, train

    root = tmp_path_factory.mktemp("team")
    texts = make_texts(2 * N_SIDE, seed=21)
    write_jsonl(root / "corpus.jsonl", texts, prefix="t")
    ran_here("auditor split corpus.jsonl --out before", root)  # as the page will, so that there is what to train on
    members = [json.loads(line)["text"] for line in (root / "before" / "members.jsonl").read_text().splitlines()]
    tokenizer = build_tokenizer()
    start = save_gpt2(root / "start", seed=0, tokenizer=tokenizer, scale=0.02)
    for name, source, trained_on, steps, rate in (
        ("base", start, make_texts(N_SIDE, seed=99), 150, 2e-2),
        ("release", root / "models" / "base", members, 5, 5e-4),
        ("candidate", root / "models" / "base", members, 300, 2e-2),
    ):
        model = AutoModelForCausalLM.from_pretrained(source)
        ids = [[0, *tokenizer(text)["input_ids"]] for text in trained_on]
        train(model, ids, steps=steps, batch_size=20, learning_rate=rate, seed=0, warmup=5)
        save(model, tokenizer, root / "models" / name)
    (root / "examples").symlink_to(ROOT / "examples")
    return root


def ran_here(line: str, folder: Path, expected: int = 0) -> Ran:
    """Run a line of the page in this process, where heavy imports are paid once: a command, and where its output goes.

    The page keeps to what this understands: `auditor` or `python FILE`, one command a line, and `> FILE` at its end.
    """
    command, _, target = line.partition(" > ")
    words = shlex.split(command)
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setenv("COLUMNS", "100")
        patch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        patch.setattr(sys, "argv", words if words[0] == "auditor" else words[1:])
        code = _code_of(words)
    said = [_read(stream) for stream in (out, err)]
    if target:
        (folder / target.strip()).write_text(said[0], encoding="utf-8")
    return Ran(line, expected, code, *said)


def _code_of(words: list[str]) -> int:
    from auditor.cli import main

    try:
        if words[0] == "auditor":
            main()
        else:
            assert words[0] == "python"
            runpy.run_path(words[1], run_name="__main__")
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def _read(stream: io.TextIOWrapper) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


def commands(block: Block) -> Iterator[tuple[str, int]]:
    """Split a block into its commands; its exit code is that of the last one, the others end with 0."""
    lines = block.body.replace("\\\n", " ").splitlines()
    for i, line in enumerate(lines, 1):
        yield re.sub(r"\s+#.*", "", " ".join(line.split())), int(block.what or 0) if i == len(lines) else 0


@pytest.fixture(scope="module")
def pushed() -> Iterator[list[tuple[str, dict[str, Any], dict[str, Any]]]]:
    """Stand in for the hub, and keep what reaches it."""
    calls: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    def push(text: str, metadata: dict[str, Any], **where: Any) -> str:
        calls.append((text, metadata, where))
        return "the address of a pull request"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditor.cli.hub.push_model_card", push)
        yield calls


@pytest.fixture(scope="module")
def walk(world: Path, blocks: list[Block], pushed: list[Any]) -> list[Ran]:
    """Follow the page from its top: write the files that it shows, run the commands, and keep what they did."""
    done: list[Ran] = []
    for block in blocks:
        if block.kind == "file":
            (world / str(block.what)).write_text(block.body + "\n", encoding="utf-8")
        if block.kind == "exit":
            for line, expected in commands(block):
                done.append(ran_here(line, world, expected))
                assert done[-1].code == expected, done[-1]
    return done


def test_every_shell_block_is_marked_so_that_nothing_is_left_unrun(blocks: list[Block]) -> None:
    shell = [block for block in blocks if block.language in ("sh", "bash", "console", "")]
    assert len(shell) > 5
    for block in shell:
        assert block.kind == "exit", block.body
    assert {block.what for block in shell} == {"0", "1"}
    for block in blocks:  # every policy of the page is a file that a command reads, or a waiver for one
        assert block.language != "toml" or block.kind == "file" or "[[waiver]]" in block.body


def test_every_command_ends_as_the_page_says(walk: list[Ran]) -> None:
    assert [ran.code for ran in walk] == [ran.expected for ran in walk]
    named = {shlex.split(ran.command)[1] for ran in walk if ran.command.startswith("auditor")}
    assert {"split", "pack", "audit", "gate", "compare", "predict", "verify"} <= named
    for ran in walk:
        assert "Traceback" not in ran.err, ran.command
        assert "Error:" not in ran.err, ran.command


def test_what_the_commands_write_is_where_the_page_says(walk: list[Ran], world: Path, page: str) -> None:
    for name in (*OUTPUTS, "gates.json", "plan.json", "audits/change/comparison.md", "audits/early/gates.json"):
        assert Path(name).name in page
        assert (world / name).stat().st_size, name
    assert {file.name for file in (world / "audits" / "early").iterdir()} == {
        *("gates.json", "checksums.json", "scores")
    }
    assert (world / "probe.pack").stat().st_mode & 0o077 == 0
    assert (world / "probe" / "members.jsonl").read_bytes() == (world / "before" / "members.jsonl").read_bytes()


def masked(text: str) -> str:
    """Put one sign for every number: those of a model trained here are not those of the page."""
    return re.sub(r"\s+", " ", re.sub(r"−?\d[\d.,]*", "#", text.replace("&lt; ", ""))).strip()


def test_the_excerpts_are_what_a_run_prints(walk: list[Ran], world: Path, blocks: list[Block]) -> None:
    printed = masked("\n".join(ran.out for ran in walk))
    summary = masked((world / "gate.md").read_text(encoding="utf-8"))
    excerpts = {language: [b.body for b in blocks if b.language == language] for language in ("text", "markdown")}
    assert excerpts["text"]
    assert excerpts["markdown"]
    for body in excerpts["text"]:
        for line in body.splitlines():
            assert masked(line) in printed, line
    for body in excerpts["markdown"]:
        for line in body.splitlines():
            assert masked(line) in summary, line


def test_nothing_that_a_gate_writes_holds_a_text(walk: list[Ran], world: Path) -> None:
    texts = [json.loads(line)["text"] for line in (world / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    for name in (*OUTPUTS, "gates.json", "audits/early/gates.json", "audits/change/comparison.json"):
        content = (world / name).read_text(encoding="utf-8")
        assert not [text for text in texts if text in content], name
    said = "\n".join(ran.out + ran.err for ran in walk)
    assert not [text for text in texts if text in said]


def test_the_training_run_is_stopped_or_not_by_the_policy_and_logs_the_figures(walk: list[Ran], page: str) -> None:
    (ran,) = [ran for ran in walk if "train_with_audit.py" in ran.command]
    logged = set(re.findall(r"audit/\w+", ran.out))
    for name in ("loss_auc", "reference_auc", "bits_per_member", "bits_per_token", "capacity_used"):
        assert f"`audit/{name}`" in page
        assert {f"audit/{name}", f"audit/{name}_low", f"audit/{name}_high"} <= logged


def test_without_a_reference_or_with_few_texts_the_built_in_policy_says_inconclusive(
    run: Callable[..., Any], tiny_models: dict[str, Path], tiny_data: dict[str, Path], tmp_path: Path
) -> None:
    sides = ("--members", tiny_data["members"], "--non-members", tiny_data["non_members"])
    assert run("audit", "--target", tiny_models["target"], *sides, "--out", tmp_path, "--attack", "loss").code == 0
    ran = run("gate", tmp_path, "--json")
    assert ran.code == 1
    gates = {gate["gate"]: gate for gate in json.loads(ran.out)["gates"]}
    assert gates["memorization"]["outcome"] == gates["sure-hits"]["outcome"] == "inconclusive"
    assert "reference" in gates["memorization"]["reason"]
    assert "100 non-members" in gates["sure-hits"]["reason"]


def test_the_waivers_and_limits_of_the_page_are_those_of_the_built_in_policy(page: str, blocks: list[Block]) -> None:
    from auditor.gates.policy import built_in_text, parse_policy

    (waiver,) = [block.body for block in blocks if block.language == "toml" and block.kind is None]
    policy = parse_policy(built_in_text() + "\n" + waiver, "the page")
    assert {one.gate for one in policy.waivers} <= {gate.name for gate in policy.gates}
    for gate in policy.gates:
        assert f"| `{gate.name}` | `{gate.metric}` | {gate.max:g}" in page


def test_the_jobs_give_what_the_action_and_the_template_take(blocks: list[Block]) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    github, gitlab = [yaml.safe_load(block.body) for block in blocks if block.language == "yaml"]
    (job,) = github["jobs"].values()
    (step,) = [step for step in job["steps"] if str(step.get("uses", "")).startswith("./")]
    assert set(step["with"]) <= set(action["inputs"])
    assert {name for name, one in action["inputs"].items() if one.get("required")} <= set(step["with"])
    outputs = re.findall(r"steps\.gate\.outputs\.([a-z-]+)", json.dumps(github))
    assert outputs
    assert set(outputs) <= set(action["outputs"])
    template = (ROOT / "ci" / "gitlab.yml").read_text(encoding="utf-8")
    (audit,) = [one for name, one in gitlab.items() if name != "include"]
    assert f"{audit['extends']}:" in template
    for name in audit["variables"]:
        assert name in template


def test_one_command_of_the_page_pushes_the_section_of_the_card_and_no_other(
    walk: list[Ran], world: Path, pushed: list[tuple[str, dict[str, Any], dict[str, Any]]]
) -> None:
    assert len([ran for ran in walk if "--push-model-card" in ran.command]) == 1
    ((text, metadata, options),) = pushed
    assert text in (world / "card.md").read_text(encoding="utf-8")
    assert metadata["model-index"]
    assert options == {"repo_id": "your-org/model", "create_pr": True}


def test_of_a_harmless_model_no_member_is_highly_memorized(walk: list[Ran], world: Path) -> None:
    """So a limit of 0 on those that appear stops only what is beyond 10 bits, as the page says."""
    high = json.loads((world / "audits/change/comparison.json").read_text(encoding="utf-8"))["high"]
    assert (high["old_threshold"], high["n_old"], high["n_vanished"]) == (10, 0, 0)
    assert high["n_appeared"] == high["n_new"]


def test_the_figures_of_early_stopping_are_those_of_the_file(page: str) -> None:
    measured = json.loads((ROOT / "docs" / "data" / "until-decided.json").read_text(encoding="utf-8"))
    gaussian = {row["auc"]: row for row in measured["gates"] if row["scores"] == "gaussian"}
    for area in (0.5, 0.55, 0.6, 0.65, 0.8, 0.95):
        row = gaussian[area]
        assert f"| {area:g} | {row['median_share']:.1%} | {row['share_90']:.1%} |" in page
    low, high = gaussian[0.6]["fail_interval"]
    assert f"{gaussian[0.6]['fail']:.1%} [{low:.1%} to {high:.1%}]" in page
    naive = next(row for row in measured["naive"] if row["scores"] == "gaussian")
    assert f"{naive['fail']:.0%}" in page
    assert "python benchmarks/until_decided.py" in page


def test_the_figures_of_gates_on_bits_are_those_of_the_file(page: str) -> None:
    measured = json.loads((ROOT / "docs" / "data" / "bits-until-decided.json").read_text(encoding="utf-8"))
    summary = measured["summary"]
    assert f"{summary['cases']} cases of {measured['runs']} audits" in page
    means, worst = ([summary[wrong][key] for wrong in ("pass", "fail")] for key in ("mean", "worst"))
    assert f"{means[0]:.2%} pass and {means[1]:.2%} fail on average" in page
    assert f"{worst[0]:.1%} and {worst[1]:.1%} in the worst case" in page
    assert max(worst) <= summary["most_by_chance"]


def test_the_page_and_the_policy_say_how_many_texts_it_needs(page: str) -> None:
    from auditor.gates.policy import built_in_text

    policy = built_in_text()
    (sizes,) = re.findall(r"# +texts a side +(.*)", policy)
    (shares,) = re.findall(r"# +passed +(.*)", policy)
    assert dict(zip(map(int, sizes.split()), (int(one.rstrip("%")) for one in shares.split()), strict=True)) == N_TEXTS
    for n, share in N_TEXTS.items():
        assert f"| {n} | {share}% |" in page
    assert "--until-decided` cannot decide this gate early" in policy


@pytest.mark.slow
def test_so_many_texts_does_the_built_in_policy_need() -> None:
    for n, share in N_TEXTS.items():
        assert 100 * passing_share(n, 500, np.random.default_rng([0, n])) == pytest.approx(share, abs=2)


def passing_share(n: int, runs: int, rng: np.random.Generator) -> float:
    """Simulate audits of a model that leaks nothing: ten attacks of pure noise, alike as attacks are (rho = .7)."""
    from auditor.estimates.selection import select
    from auditor.stats.metrics import auc, tpr_at_fpr

    is_member, n_passed = np.arange(2 * n) < n, 0
    for _ in range(runs):
        common = rng.normal(size=2 * n)
        scores = {str(i): 0.7**0.5 * common + 0.3**0.5 * rng.normal(size=2 * n) for i in range(9)} | {"own": common}
        rate = tpr_at_fpr(common, is_member, fpr=0.01, level=0.95)
        chosen = select(scores, is_member, headline="own", declared_by="default", level=0.95, seed=0)
        best, headline = chosen.best_auc.high, auc(common, is_member, level=0.95).high
        assert best is not None
        assert headline is not None
        n_passed += headline <= 0.6 and best <= 0.6 and rate.high is not None and rate.high <= 0.05
    return n_passed / runs
