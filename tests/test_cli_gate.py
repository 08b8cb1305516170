"""``auditor gate`` as its users meet it: exit codes, formats, policies, and nothing private in the log."""

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import reports
from auditor.documents.checksums import write_checksums
from auditor.documents.files import to_text
from auditor.errors import ResultError
from auditor.gates.policy import built_in_text
from auditor.gates.subject import read_judged
from helpers_audits import build_full
from reports.gates import figure_lines

PASSING = 'version = 1\n[[gate]]\nname = "auc"\nmetric = "attacks.reference.auc"\nmax = 0.99\n'
FAILING = PASSING.replace("0.99", "0.6")
UNDECIDED = PASSING.replace("0.99", "0.93")
BROKEN = PASSING.replace("max", "maxx")
CODES = {"passing": 0, "failing": 1, "undecided": 1, "broken": 2}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an audit and a policy of each kind; the job summary of a pipeline is not set."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "result.json").write_text(to_text(build_full()), encoding="utf-8")
    for name, text in (("passing", PASSING), ("failing", FAILING), ("undecided", UNDECIDED), ("broken", BROKEN)):
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    return tmp_path


FORMATS = {
    "terminal": [],
    "json": ["--json"],
    "annotations": ["--annotations"],
    "junit": ["--junit", "j.xml"],
    "sarif": ["--sarif", "s.sarif"],
    "summary": ["--summary", "s.md"],
    "badge": ["--badge", "b.svg"],
    "badge_json": ["--badge", "b.json"],
    "model_card": ["--model-card", "m.md"],
}
EVERYTHING = [option for name, options in FORMATS.items() if name != "badge_json" for option in options]


@pytest.mark.parametrize("policy", CODES)
@pytest.mark.parametrize("options", [*FORMATS.values(), EVERYTHING], ids=[*FORMATS, "everything"])
def test_the_exit_code_is_the_same_whatever_the_format(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch, policy: str, options: list[str]
):
    monkeypatch.chdir(place)
    ran = run("gate", "audit", "--policy", f"{policy}.toml", *options)
    assert ran.code == CODES[policy]
    files = [name for name in options if "." in name]
    assert all((place / name).stat().st_size for name in files) if ran.code != 2 else not (place / "j.xml").exists()


@pytest.mark.parametrize(("policy", "code"), [("passing", 0), ("failing", 0), ("undecided", 0), ("broken", 2)])
def test_warn_only_lets_a_verdict_through_and_no_error(run: Callable[..., Any], place: Path, policy: str, code: int):
    ran = run("gate", place / "audit", "--policy", place / f"{policy}.toml", "--warn-only", "--json")
    assert ran.code == code
    if code == 0:
        assert (ran.document["exit_code"], ran.document["warn_only"]) == (0, True)
        assert ran.document["passed"] == (policy == "passing")


@pytest.mark.parametrize("policy", ["passing", "failing"])
def test_an_output_that_cannot_be_written_is_an_error_and_no_verdict(run: Callable[..., Any], place: Path, policy: str):
    for options in (["--junit", place / "no" / "j.xml"], ["--badge", place / "b.png"]):
        ran = run("gate", place / "audit", "--policy", place / f"{policy}.toml", *options)
        assert ran.code == 2
        assert ran.err.startswith("Error: ")
        assert ran.err.count("\n") == 1


def test_a_format_that_breaks_is_an_error_and_no_verdict(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(report: object) -> str:
        raise RuntimeError("a bug")

    monkeypatch.setitem(reports.GATE_RENDERERS, "sarif", broken)
    assert run("gate", place / "audit", "--policy", place / "passing.toml", "--sarif", place / "s").code == 2


@pytest.mark.slow
def test_the_real_command_returns_the_code_to_the_shell(place: Path):
    command = [sys.executable, "-c", "from auditor.cli import main; main()", "gate", str(place / "audit"), "--policy"]
    codes = {
        policy: subprocess.run([*command, str(place / f"{policy}.toml")], capture_output=True, check=False).returncode
        for policy in ("passing", "failing", "broken")
    }
    assert codes == {"passing": 0, "failing": 1, "broken": 2}


def test_the_terminal_says_the_worst_first_and_the_code_last(run: Callable[..., Any], place: Path):
    ran = run("gate", place / "audit", "--policy", place / "failing.toml")
    lines = ran.out.strip().splitlines()
    assert "support-assistant" in lines[0]
    (line,) = [line for line in lines if line.startswith("✖")]
    for part in ("auc", "0.931", "[0.914 to 0.948]", "at most 0.6", "FAIL", "the whole interval is above the limit"):
        assert part in line
    assert "Holm over 1 limit" in lines[-2]
    assert lines[-1].endswith("Exit code 1.")


def test_the_document_is_all_that_json_prints(run: Callable[..., Any], place: Path):
    ran = run("gate", place / "audit", "--policy", place / "passing.toml", "--json", "--annotations")
    document = json.loads(ran.out)
    assert document["kind"] == "audit"
    assert document["result"] == str(place / "audit" / "result.json")
    assert document["gates"][0]["outcome"] == "pass"


def test_the_job_summary_of_a_pipeline_is_added_to(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch
):
    page = place / "page.md"
    page.write_text("earlier step\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert run("gate", place / "audit", "--policy", place / "failing.toml").code == 1
    text = page.read_text(encoding="utf-8")
    assert text.startswith("earlier step\n")
    assert "0.931" in text
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(place / "no" / "page.md"))
    assert run("gate", place / "audit", "--policy", place / "failing.toml").code == 2


def test_init_writes_the_built_in_policy_and_overwrites_nothing(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(place)
    assert run("gate", "--init").code == 0
    assert Path("policy.toml").read_text(encoding="utf-8") == built_in_text()
    again = run("gate", "--init", "--policy", "policy.toml")
    assert again.code == 2
    assert "overwrites nothing" in again.err
    with_file, without = (run("gate", "audit", "--json", *more) for more in (["--policy", "policy.toml"], []))
    assert with_file.code == without.code == 1
    ours, theirs = (json.loads(ran.out) for ran in (with_file, without))
    assert theirs["policy"] == "built-in"
    assert all(gate.pop("policy_line") for gate in ours["gates"])
    assert {gate.pop("policy_line") for gate in theirs["gates"]} == {None}  # there is no file to point at
    assert ours["gates"] == theirs["gates"]
    assert ours["policy_sha256"] == theirs["policy_sha256"]
    assert run("gate", "audit", "--init").code == 2


@pytest.mark.parametrize(("names", "said"), [("ab", "2 policies are good"), ("a", "1 policy is good")])
def test_policies_are_counted(run: Callable[..., Any], place: Path, names: str, said: str):
    files = [place / f"{name}.toml" for name in names]
    for file in files:
        file.write_text(PASSING, encoding="utf-8")
    ran = run("gate", "--check-policy", *files)
    assert (ran.code, ran.err.strip()) == (0, said)


def test_a_check_warns_of_waivers_that_are_over_and_names_the_file(run: Callable[..., Any], place: Path):
    waiver = '[[waiver]]\ngate = "auc"\nreason = "known"\nexpires = {}\n'
    over, valid, wrong = (place / f"{name}.toml" for name in ("over", "valid", "wrong"))
    over.write_text(PASSING + waiver.format("2020-01-31"), encoding="utf-8")
    valid.write_text(PASSING + waiver.format("2999-01-31"), encoding="utf-8")
    wrong.write_text(PASSING.replace("reference.auc", "referense.auc"), encoding="utf-8")
    ran = run("gate", "--check-policy", over, valid)
    warning, last = ran.err.splitlines()
    assert warning == f"Warning: policy {over}: the waiver of 'auc' ended on 2020-01-31"
    assert (ran.code, last) == (0, "2 policies are good")
    for arguments in (("--check-policy", wrong), (place / "audit", "--policy", wrong)):
        failed = run("gate", *arguments)
        assert (failed.code, str(wrong) in failed.err) == (2, True)


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """What reaches the hub, which is not there."""
    calls: list[tuple[str, dict[str, Any], dict[str, Any]]] = []

    def push(text: str, metadata: dict[str, Any], **where: Any) -> str:
        calls.append((text, metadata, where))
        return "https://hub.example/owner/name/discussions/1"

    monkeypatch.setattr("auditor.cli.hub.push_model_card", push)
    return calls


@pytest.mark.parametrize(("policy", "code"), [("passing", 0), ("failing", 1)])
@pytest.mark.parametrize("options", [[], ["--create-pr"]])
def test_a_model_card_is_pushed_when_asked(
    run: Callable[..., Any], place: Path, pushed: list[Any], policy: str, code: int, options: list[str]
):
    card = place / "card.md"
    command = ["gate", place / "audit", "--policy", place / f"{policy}.toml", "--model-card", card, "--json"]
    ran = run(*command, "--push-model-card", "owner/name", *options)
    assert ran.code == code
    ((section, metadata, where),) = pushed
    assert card.read_text(encoding="utf-8").endswith(section)
    assert metadata["model-index"]
    assert where == {"repo_id": "owner/name", "create_pr": bool(options)}
    assert json.loads(ran.out)["exit_code"] == code
    assert "https://hub.example/owner/name/discussions/1" in ran.err


def test_nothing_is_pushed_unless_asked_and_nothing_without_a_verdict(
    run: Callable[..., Any], place: Path, pushed: list[Any]
):
    asked = ["--push-model-card", "owner/name"]
    assert run("gate", place / "audit", "--policy", place / "passing.toml", "--model-card", place / "c.md").code == 0
    assert run("gate", place / "audit", "--policy", place / "broken.toml", *asked).code == 2
    assert run("gate", place / "audit", "--junit", place / "no" / "j.xml", *asked).code == 2
    alone = run("gate", place / "audit", "--policy", place / "passing.toml", "--create-pr")
    assert (alone.code, alone.err.count("\n")) == (2, 1)
    assert "--push-model-card" in alone.err
    assert pushed == []


@pytest.mark.parametrize("policy", ["passing", "failing"])
def test_a_push_that_is_refused_is_an_error_and_no_verdict(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch, policy: str
):
    def refused(repo_id: str) -> object:
        raise OSError("401 Client Error\n\nInvalid username or password")

    monkeypatch.setattr("huggingface_hub.ModelCard.load", refused)
    ran = run("gate", place / "audit", "--policy", place / f"{policy}.toml", "--push-model-card", "owner/name")
    assert ran.code == 2
    assert ran.err.startswith("Error: the model card of 'owner/name' cannot be written: 401 Client Error Invalid")
    assert ran.err.count("\n") == 1


def test_a_prediction_has_as_many_digits_as_its_band(run: Callable[..., Any], place: Path):
    plan = run("predict", "--params", "124M", "--tokens", "250M", "--json").out
    (place / "plan.json").write_text(plan, encoding="utf-8")
    law = json.loads(plan)["law"]
    shown = "{auc:.3f} [{auc_low:.3f} to {auc_high:.3f}]".format(**law)
    assert f"{law['auc']:.6g}" not in shown  # six digits would be more
    assert f"predicted-membership  {shown}, at most 0.6: " in run("gate", place / "plan.json").out


def test_the_built_in_policy_is_silent_about_gates_on_other_documents(run: Callable[..., Any], place: Path):
    ran = run("gate", place / "audit")
    signs = [line for line in ran.out.splitlines() if line.startswith(("▲", "●"))]
    assert signs[0] == "▲ read with care, checks warn: blind baseline, near-duplicates across the sides"
    assert not any("predicted-membership" in line for line in signs)


def test_an_unsound_audit_names_its_checks_in_words(run: Callable[..., Any], place: Path):
    result = build_full()
    checks = tuple(
        replace(one, verdict="veto" if one.name == "near_duplicates" else "pass") for one in result.soundness.checks
    )
    assert "veto" in {one.verdict for one in checks}
    unsound = replace(result, soundness=replace(result.soundness, verdict="veto", checks=checks))
    (place / "audit" / "result.json").write_text(to_text(unsound), encoding="utf-8")
    options = [option for option in EVERYTHING if option != "--json"]
    ran = run("gate", place / "audit", "--policy", place / "passing.toml", *(
        place / option if "." in option else option for option in options
    ))  # fmt: skip
    assert ran.code == 1
    written = [(place / name).read_text(encoding="utf-8") for name in ("j.xml", "s.sarif", "s.md", "m.md")]
    for text in (ran.out, *written):
        assert "the audit is not sound: near-duplicates across the sides" in text
        assert "near_duplicates" not in text
    assert "no gate could be judged" in ran.out


def test_every_listed_path_can_be_gated(run: Callable[..., Any], place: Path):
    ran = run("gate", place / "audit", "--list")
    paths = [line.split("\t")[0] for line in ran.out.splitlines()]
    assert {"attacks.headline.auc", "attacks.any.auc", "risk.tails.0.01.mean_bits", "attacks.best.auc"} <= set(paths)
    plain = [path for path in paths if "<" not in path and "…" not in path]  # groups are named by the data
    gates = "".join(f"[[gate]]\nname = 'g{i}'\nmetric = '''{path}'''\nmax = 1\n" for i, path in enumerate(plain))
    (place / "all.toml").write_text("version = 1\n" + gates, encoding="utf-8")
    found = json.loads(run("gate", place / "audit", "--policy", place / "all.toml", "--json").out)
    assert {gate["gate"].split("/")[0] for gate in found["gates"]} == {f"g{i}" for i in range(len(plain))}


def test_a_list_for_people_has_columns_and_one_for_programs_has_tabs():
    figures = read_judged(to_text(build_full()).encode(), "result.json").figures
    piped, shown = (list(figure_lines(figures, aligned=aligned)) for aligned in (False, True))
    rows = [line.split("\t") for line in piped]
    assert ["attacks.reference.auc", "0.931 [0.914 to 0.948]"] in rows
    start = max(len(name) for name, _ in rows if len(name) <= 60) + 2
    for line, (name, figure) in zip(shown, rows, strict=True):
        assert line == f"{name:<{start - 2}}  {figure}"
    assert any(len(name) > 60 for name, _ in rows)  # a group with a long name moves no other figure


def test_sarif_points_at_the_gate_s_line_of_the_policy(run: Callable[..., Any], place: Path):
    policy = place / "two.toml"
    policy.write_text(
        'version = 1\n\n# The first.\n[[gate]]\nname = "auc"\nmetric = "attacks.reference.auc"\nmax = 0.6\n\n'
        '[[gate]]\n# name = "auc"\nmetric = "memorization.debiased_bits_per_member"\nname = "bits"\nmax = 8\n',
        encoding="utf-8",
    )
    assert run("gate", place / "audit", "--policy", policy, "--sarif", place / "s.sarif").code == 1
    found = json.loads((place / "s.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    places = [one["locations"][0]["physicalLocation"] for one in found if "properties" in one]
    assert all(where["artifactLocation"]["uri"].endswith("two.toml") for where in places)
    lines = policy.read_text(encoding="utf-8").splitlines()
    assert {lines[where["region"]["startLine"] - 1] for where in places} == {'name = "auc"', 'name = "bits"'}


def test_a_prediction_from_a_pipe(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch):
    plan = run("predict", "--params", "124M", "--tokens", "10B", "--json").out
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(plan.encode())))
    ran = run("gate", "-", "--json")
    assert ran.code == 0
    assert (ran.document["kind"], ran.document["soundness"]) == ("prediction", None)
    leaky = run("predict", "--params", "1B", "--tokens", "10M", "--json").out
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(leaky.encode())))
    assert run("gate", "-").code == 1


def test_what_is_no_result_is_an_error(run: Callable[..., Any], place: Path):
    (place / "empty.json").write_text("{}", encoding="utf-8")
    assert run("gate", place / "empty.json").code == 2
    assert run("gate", place / "none.json").code == 2
    assert run("gate").code == 2
    assert run("gate", place / "audit", "--baseline", place / "none").code == 2
    assert run("gate", "-", "--baseline", place / "audit").code == 2


def test_a_misspelt_metric_names_the_nearest(run: Callable[..., Any], place: Path):
    (place / "typo.toml").write_text(PASSING.replace("reference", "referense"), encoding="utf-8")
    ran = run("gate", place / "audit", "--policy", place / "typo.toml")
    assert ran.code == 2
    assert "attacks.reference.auc" in ran.err


def test_a_baseline_is_compared_with_by_its_folder(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[Path, Path]] = []

    def compare(old: Path, new: Path) -> object:
        asked.append((old, new))
        raise ResultError("asked")

    monkeypatch.setattr("auditor.comparison.compare.compare_audits", compare)
    assert run("gate", place / "audit" / "result.json", "--baseline", place / "old").code == 2
    assert asked == [(place / "old", place / "audit")]


# --- what was given: checksums, verdicts told again ---------------------------------------------------------------


def test_a_result_that_its_checksums_contradict_is_refused(run: Callable[..., Any], place: Path):
    folder, policy = place / "audit", place / "passing.toml"
    (folder / "samples.parquet").write_bytes(b"rows")
    write_checksums(folder, ["result.json", "samples.parquet"])
    whole = (folder / "result.json").read_text(encoding="utf-8")
    assert run("gate", folder, "--policy", policy, "--json").document["checksums"] == "matched"
    edited = whole.replace('"value": 0.931', '"value": 0.930', 1)
    assert edited != whole

    def refused(said: str) -> None:
        for result in (folder, folder / "result.json"):
            ran = run("gate", result, "--policy", policy, "--junit", place / "j.xml")
            assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
            assert said in ran.err
        assert not (place / "j.xml").exists()

    (folder / "result.json").write_text(edited, encoding="utf-8")
    refused("result.json is not the file that checksums.json beside it vouches for")
    (folder / "result.json").write_text(whole, encoding="utf-8")
    (folder / "samples.parquet").write_bytes(b"rowz")
    refused("samples.parquet is not the file that checksums.json beside it vouches for")
    (folder / "samples.parquet").unlink()  # a result may travel without its samples
    assert run("gate", folder, "--policy", policy).code == 0
    stated = (folder / "checksums.json").read_text(encoding="utf-8")
    (folder / "checksums.json").write_text(stated.replace("result.json", "other.json"), encoding="utf-8")
    refused("result.json is not the file that checksums.json beside it vouches for")
    (folder / "checksums.json").write_text("{", encoding="utf-8")
    refused("checksums.json: not a list of checksums")


def test_a_result_alone_says_so_in_every_format(run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(place)
    alone = "without checksums: no checksums.json lay beside the result"
    formats = [option for option in EVERYTHING if option not in ("--json", "--badge", "b.svg")]
    for vouched in (False, True):
        if vouched:
            write_checksums(place / "audit", ["result.json"])
        ran = run("gate", "audit", "--policy", "passing.toml", *formats)
        files = {name: Path(name).read_text(encoding="utf-8") for name in formats if "." in name}
        assert list(files) == ["j.xml", "s.sarif", "s.md", "m.md"]
        assert [alone in text for text in (ran.out, *files.values())] == [not vouched] * 5
        assert ("::notice title=memorization::without checksums" in ran.out) != vouched
        state = "matched" if vouched else "absent"
        assert f'<property name="checksums" value="{state}" />' in files["j.xml"]
        assert json.loads(files["s.sarif"])["runs"][0]["properties"]["checksums"] == state
        assert run("gate", "audit", "--policy", "passing.toml", "--json").document["checksums"] == state
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO((place / "audit/result.json").read_bytes())))
    assert run("gate", "-", "--policy", "passing.toml", "--json").document["checksums"] == "absent"
    plan = run("predict", "--params", "124M", "--tokens", "10B", "--json").out
    Path("plan.json").write_text(plan, encoding="utf-8")
    assert run("gate", "plan.json", "--json").document["checksums"] is None


REFUSED = {"outcome": "refused", "low": None, "high": None, "value": None}
WAIVER = {"waived_by": "known", "waived_until": "2099-01-01"}


@pytest.mark.parametrize(
    ("verdict", "gate", "said"),
    [
        ({"passed": False, "exit_code": 1}, {}, "passed is false, and 0 of its 1 gates stop the run"),
        ({"exit_code": 1}, {}, "exit_code is 1, passed is true and warn_only false"),
        ({"passed": False}, REFUSED | {"stops": True}, "exit_code is 0, passed is false"),
        ({}, REFUSED | {"stops": True}, "passed is true, and 1 of its 1 gates stop the run"),
        ({}, REFUSED, "its outcome is refused, stops is false, and nothing lets it through"),
        ({"let_through": ["inconclusive"]}, REFUSED, "nothing lets it through"),
        ({}, {"stops": True}, "a pass stops nothing"),
        ({}, REFUSED | WAIVER | {"stops": True}, "its waiver or the policy lets it through"),
        ({}, {"waived_by": "known"}, "a waiver has a reason and a last day"),
        ({}, {"most": 0.5}, "it passed, and its interval is not within its limits"),
        ({}, {"low": None, "high": None, "value": None}, "it passed, and its interval is not within its limits"),
        ({}, {"high": 0.5}, "its figure does not lie in its own interval"),
        ({}, {"most": None}, "it has no limit"),
        ({}, {"least": 2.0}, "its limits allow nothing"),
        ({}, {"level": 1.5}, "its interval is of level 1.5"),
        ({}, {"vetoes": ["blind_baseline"]}, "soundness checks refuse it a verdict"),
        ({}, REFUSED | WAIVER | {"vetoes": ["blind_baseline"]}, "soundness checks refuse it, and soundness is warn"),
        ({"passed": False, "exit_code": 1}, {"outcome": "fail", "stops": True}, "it failed, and its interval is not"),
        ({"gates": []}, {}, "it holds no gate"),
    ],
)
def test_a_verdict_that_contradicts_itself_is_an_error(
    run: Callable[..., Any], place: Path, verdict: dict[str, Any], gate: dict[str, Any], said: str
):
    document = run("gate", place / "audit", "--policy", place / "passing.toml", "--json").document
    assert (document["passed"], document["exit_code"], document["soundness"]) == (True, 0, "warn")
    document["gates"][0] |= gate
    (place / "gates.json").write_text(json.dumps(document | verdict), encoding="utf-8")
    for options in ([], ["--warn-only"], ["--json"]):
        ran = run("gate", place / "gates.json", *options)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert "not a verdict of gates: it contradicts itself: " in ran.err
        assert said in ran.err


LENIENT = 'version = 1\ninconclusive = "pass"\nunsound = "pass"\n'
WAIVED = '[[waiver]]\ngate = "auc"\nreason = "known"\nexpires = 2099-01-01\n'


@pytest.mark.parametrize("options", [[], ["--warn-only"]])
@pytest.mark.parametrize(
    "policy",
    [
        PASSING,
        FAILING,
        UNDECIDED,
        UNDECIDED.replace("version = 1\n", LENIENT),
        FAILING + WAIVED,
        PASSING.replace("reference", "any").replace("0.99", "0.8"),
        PASSING.replace("reference.auc", "reference.tpr_at_fpr.0.001"),
        PASSING.replace("attacks.reference.auc", "change.attacks.reference.auc"),
    ],
)
def test_a_verdict_that_was_given_is_told_again(run: Callable[..., Any], place: Path, policy: str, options: list[str]):
    """Whatever the policy, what `auditor gate` says itself is no contradiction."""
    (place / "policy.toml").write_text(policy, encoding="utf-8")
    given = run("gate", place / "audit", "--policy", place / "policy.toml", "--json", *options)
    (place / "gates.json").write_text(given.out, encoding="utf-8")
    told = run("gate", place / "gates.json", "--json")
    assert (told.code, json.loads(told.out)) == (given.code, json.loads(given.out)), told.err


def test_a_verdict_on_another_result_than_the_one_beside_it_is_refused(run: Callable[..., Any], place: Path):
    folder = place / "audit"
    given = run("gate", folder, "--policy", place / "passing.toml", "--json").out
    (folder / "gates.json").write_text(given, encoding="utf-8")
    assert run("gate", folder / "gates.json").code == 0
    worse = replace(build_full(), warnings=("another audit",))
    (folder / "result.json").write_text(to_text(worse), encoding="utf-8")
    ran = run("gate", folder / "gates.json")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "is a verdict on another result.json than the one beside it" in ran.err


SECRET = "the-planted-secret-4711"


def test_no_text_of_a_sample_and_no_escape_code_in_any_output(
    run: Callable[..., Any], place: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(place)
    result = build_full()
    samples = tuple(
        replace(one, text=SECRET, sample_id=f"\x1b[31m{one.sample_id}\n{'x' * 500}")
        for one in result.memorization.top_samples
    )
    leaky = replace(result, memorization=replace(result.memorization, top_samples=samples))
    (place / "audit" / "result.json").write_text(to_text(leaky), encoding="utf-8")
    worst = PASSING.replace("attacks.reference.auc", "memorization.largest_sample_bits")
    (place / "worst.toml").write_text(worst, encoding="utf-8")
    ran = run("gate", "audit", "--policy", "worst.toml", *[option for option in EVERYTHING if option != "--json"])
    assert ran.code == 1
    written = [path.read_text(encoding="utf-8") for name in EVERYTHING if (path := Path(name)).exists()]
    assert len(written) == 5
    for text in (ran.out, ran.err, *written):
        assert SECRET not in text
        assert "\x1b" not in text
    (line,) = [line for line in ran.out.splitlines() if line.startswith("    samples: ")]
    assert "and 2 more" in line  # of seven members five are named
    assert "\\x1b[31mrecord-04711" in line
    shown = run("gate", "audit", "--policy", "worst.toml", "--json")
    assert SECRET not in shown.out
