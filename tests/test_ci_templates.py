"""The action, the GitLab job and the hook do what they say: their own steps run here, on a tiny model."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GATE = ROOT / "ci" / "gate.sh"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")

STRICT = """
version = 1
[[gate]]
name = "membership"
metric = "attacks.headline.auc"
max = 0.0001
"""
MILD = STRICT.replace("0.0001", "1.0")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def gitlab() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "ci" / "gitlab.yml").read_text(encoding="utf-8"))


def environment(**variables: object) -> dict[str, str]:
    """Return this environment, our tools first on the PATH, and none of what a CI service running this test has set."""
    own = {key: value for key, value in os.environ.items() if not key.startswith(("AUDITOR_", "GITHUB_", "CI_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    return own | {"PATH": path} | {key: str(value) for key, value in variables.items()}


def run_action(action: dict[str, Any], step: str, inputs: dict[str, str], **others: object) -> Any:
    """Run one step as a runner does: inputs with their defaults, environment filled in, bash told to be strict."""
    given = {name: str(one.get("default", "")) for name, one in action["inputs"].items()} | inputs
    (one,) = [one for one in action["runs"]["steps"] if one["name"] == step]
    filled = {
        key: EXPRESSION.sub(lambda found: given[found[1].removeprefix("inputs.")], value)
        for key, value in one["env"].items()
    }
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", one["run"]],
        env=environment(GITHUB_ACTIONS="true", GITHUB_ACTION_PATH=ROOT, **filled | others),
        capture_output=True,
        text=True,
    )


def stub(folder: Path, name: str, body: str) -> Path:
    """Put a program of a name into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
    (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def inputs(tiny_models: Any, tiny_data: Any, tmp_path: Path) -> dict[str, str]:
    """Return inputs of the action for an audit of the tiny model.

    The target is untrained and prefers one side by chance: that side is the members', as a gate refuses an audit whose
    score is inverted, whatever its limit.
    """
    return {
        "target": str(tiny_models["target"]),
        "reference": str(tiny_models["reference"]),
        "members": str(tiny_data["non_members"]),
        "non-members": str(tiny_data["members"]),
        "out": str(tmp_path / "the results"),
        "extra-args": "--device cpu --attack loss --attack reference",
    }


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, object]:
    """Return an environment in which `auditor` writes down its arguments and exits as it is told."""
    body = 'printf "%s\\0" "$@" "" >> "$RECORD"; [ "$1" = audit ] && exit "${AUDIT_CODE:-0}"; exit "${GATE_CODE:-0}"'
    folder = stub(tmp_path / "stubs", "auditor", body)
    path = os.pathsep.join([str(folder), environment()["PATH"]])
    return {"PATH": path, "RECORD": tmp_path / "record", "AUDITOR_TARGET": "t", "AUDITOR_MEMBERS": "m"}


def calls(record: object) -> list[list[str]]:
    """Return the arguments of each call."""
    return [one.split("\0") for one in Path(str(record)).read_text().rstrip("\0").split("\0\0")]


def gate(variables: dict[str, object]) -> Any:
    return subprocess.run(
        ["bash", GATE], env=environment() | {k: str(v) for k, v in variables.items()}, capture_output=True, text=True
    )


def test_every_expression_of_the_action_is_declared_and_none_is_in_a_script(action: Any) -> None:
    steps = action["runs"]["steps"]
    used = set()
    for step in steps:
        assert "${{" not in step["run"]  # an input must not become code
        assert step["shell"] == "bash"
        for value in step["env"].values():
            (expression,) = EXPRESSION.findall(value)
            assert value == f"${{{{ {expression} }}}}"
            used.add(expression)
    assert used == {f"inputs.{name}" for name in action["inputs"]}
    for output in action["outputs"].values():
        (expression,) = EXPRESSION.findall(output["value"])
        assert re.fullmatch(r"steps\.gate\.outputs\.[a-z-]+", expression)
    assert all(one["description"] for part in ("inputs", "outputs") for one in action[part].values())
    read = set(re.findall(r"AUDITOR_[A-Z_]+", GATE.read_text()))
    assert read == {key for step in steps for key in step["env"] if step.get("id") == "gate"}


def test_every_output_of_the_action_is_written(action: Any, recorded: Any, tmp_path: Path) -> None:
    assert gate(recorded | {"GITHUB_OUTPUT": tmp_path / "outputs"}).returncode == 0
    written = dict(line.split("=", 1) for line in (tmp_path / "outputs").read_text().splitlines())
    named = {EXPRESSION.findall(one["value"])[0].rpartition(".")[2] for one in action["outputs"].values()}
    assert set(written) == named == set(action["outputs"])
    assert written["passed"] == "true"
    assert written["exit-code"] == "0"


def test_arguments_arrive_as_they_were_given(recorded: Any, tmp_path: Path) -> None:
    evil = f"$(touch {tmp_path}/pwned) `touch {tmp_path}/pwned`; touch {tmp_path}/pwned"
    done = gate(
        recorded
        | {
            "AUDITOR_TARGET": evil,
            "AUDITOR_MEMBERS": "my texts/a b.jsonl",
            "AUDITOR_NON_MEMBERS": "n",
            "AUDITOR_REFERENCE": "r",
            "AUDITOR_POLICY": "a policy.toml",
            "AUDITOR_BASELINE": "before",
            "AUDITOR_OUT": "the results",
            "AUDITOR_WARN_ONLY": "true",
            "AUDITOR_EXTRA_ARGS": "--attack 'min_k:k=0.1'  --text-field \"the text\"\n--headline $(id) *",
        }
    )
    assert done.returncode == 0, done
    judge = calls(recorded["RECORD"])[-1]
    (audit,) = [call for call in calls(recorded["RECORD"]) if call[0] == "audit"]
    assert audit == [
        *("audit", "--out", "the results", "--target", evil, "--members", "my texts/a b.jsonl"),
        *("--reference", "r", "--non-members", "n", "--attack", "min_k:k=0.1", "--text-field", "the text"),
        *("--headline", "$(id)", "*"),
    ]
    assert judge == [
        *("gate", "the results", "--junit", "the results/gate-junit.xml", "--sarif", "the results/gate.sarif"),
        *("--summary", "the results/gate.md", "--policy", "a policy.toml", "--baseline", "before", "--warn-only"),
    ]
    assert not (tmp_path / "pwned").exists()


def test_a_pack_takes_the_place_of_the_members(recorded: Any) -> None:
    done = gate(recorded | {"AUDITOR_PACK": "my probe.pack", "AUDITOR_MEMBERS": ""})
    assert done.returncode == 0, done
    audit, _ = calls(recorded["RECORD"])
    assert audit == ["audit", "--out", "audit-results", "--target", "t", "--pack", "my probe.pack"]


@pytest.mark.slow
def test_the_action_judges_a_model_by_a_pack(
    action: Any, inputs: dict[str, str], tmp_path: Path, run: Callable[..., Any]
) -> None:
    sides = ("--members", inputs["members"], "--non-members", inputs["non-members"])
    pack = tmp_path / "a probe.pack"
    options = ("--reference", inputs["reference"], "--attack", "reference", "--device", "cpu")
    assert run("pack", *sides, *options, "--out", pack).code == 0
    (tmp_path / "policy.toml").write_text(STRICT)
    given = {"target": inputs["target"], "out": inputs["out"], "pack": str(pack), "extra-args": "--device cpu"}
    done = run_action(action, "Audit and judge", given | {"policy": str(tmp_path / "policy.toml")})
    assert done.returncode == 1, done
    result = json.loads((Path(inputs["out"]) / "result.json").read_text(encoding="utf-8"))
    assert result["provenance"]["pack_sha256"] is not None


def test_what_is_not_given_is_not_passed_on(recorded: Any) -> None:
    assert gate(recorded | {"AUDITOR_EXTRA_ARGS": " \n"}).returncode == 0
    audit, judge = calls(recorded["RECORD"])
    assert audit == ["audit", "--out", "audit-results", "--target", "t", "--members", "m"]
    assert "--policy" not in judge
    assert "--annotations" not in judge


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({}, 0),
        ({"GATE_CODE": 1}, 1),
        ({"GATE_CODE": 2}, 2),
        ({"AUDIT_CODE": 2}, 2),
        ({"AUDIT_CODE": 1}, 2),  # 1 is for a failed gate only
        ({"AUDITOR_TARGET": ""}, 2),
        ({"AUDITOR_MEMBERS": ""}, 2),
        ({"AUDITOR_MEMBERS": "", "AUDITOR_PACK": "p"}, 0),
        ({"AUDITOR_PACK": "p"}, 2),  # a pack holds the members already
        ({"AUDITOR_OUT": "a\nb"}, 2),
        ({"AUDITOR_EXTRA_ARGS": "'open"}, 2),
        ({"GITHUB_OUTPUT": "/no/such/folder/file"}, 2),
    ],
)
def test_exit_codes(recorded: Any, variables: dict[str, object], code: int) -> None:
    done = gate(recorded | variables)
    assert done.returncode == code, done
    if code == 2 and any(key.startswith("AUDITOR_") for key in variables):
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert not Path(str(recorded["RECORD"])).exists()


def test_the_action_installs_itself_or_what_it_is_told(action: Any, tmp_path: Path) -> None:
    path = os.pathsep.join([str(stub(tmp_path / "stubs", "python", 'printf "%s\\n" "$@"')), environment()["PATH"]])
    for given, installed in (("action", ROOT), ("a package; touch x", "a package; touch x")):
        done = run_action(action, "Install the auditor", {"install": given}, PATH=path)
        assert done.stdout.splitlines()[-2:] == ["--", str(installed)]


@pytest.mark.slow
@pytest.mark.parametrize(("policy", "code"), [(STRICT, 1), (MILD, 0)])
def test_the_action_judges_a_model(action: Any, inputs: dict[str, str], tmp_path: Path, policy: str, code: int) -> None:
    (tmp_path / "a policy.toml").write_text(policy)
    files = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    done = run_action(action, "Audit and judge", inputs | {"policy": str(tmp_path / "a policy.toml")}, **files)
    assert done.returncode == code, done
    written = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
    assert written["passed"] == ("true" if code == 0 else "false")
    assert written["exit-code"] == str(code)
    assert Path(written["report"]).is_file()
    assert "membership" in files["GITHUB_STEP_SUMMARY"].read_text()
    assert ("::error" in done.stdout) == (code == 1)
    assert len(list(ElementTree.parse(written["junit"]).getroot().iter("failure"))) == code
    assert len(json.loads(Path(written["sarif"]).read_text())["runs"][0]["results"]) == code


def test_the_action_tells_an_audit_that_cannot_be_run_from_a_failed_gate(
    action: Any, inputs: dict[str, str], tmp_path: Path
) -> None:
    done = run_action(action, "Audit and judge", inputs | {"members": str(tmp_path / "none.jsonl")})
    assert done.returncode == 2
    assert "Error: " in done.stderr


def test_the_gitlab_job_runs_the_same_script(gitlab: Any, recorded: Any, tmp_path: Path) -> None:
    (job,) = gitlab.values()
    assert set(gitlab) == {".memorization-audit"}  # hidden: nothing runs unless a job extends it
    read = set(re.findall(r"AUDITOR_[A-Z_]+", GATE.read_text()))
    assert set(job["variables"]) == read - {"AUDITOR_TARGET"} | {"AUDITOR_REF"}
    (tmp_path / ".auditor").symlink_to(ROOT)
    for code in (0, 1):
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", "\n".join(job["script"])],
            cwd=tmp_path,
            env=environment() | {k: str(v) for k, v in (job["variables"] | recorded | {"GATE_CODE": code}).items()},
        )
        assert done.returncode == code
    audit, judge = calls(recorded["RECORD"])[:2]
    assert audit[0], judge[0] == ("audit", "gate")
    junit = job["artifacts"]["reports"]["junit"].replace("$AUDITOR_OUT", job["variables"]["AUDITOR_OUT"])
    assert junit in judge
    assert job["artifacts"]["when"] == "always"


def test_the_gitlab_job_installs_what_it_cloned(gitlab: Any, tmp_path: Path) -> None:
    (job,) = gitlab.values()
    folder = stub(tmp_path / "stubs", "git", 'printf "%s\\n" "$@"; exit "${GIT_CODE:-0}"')
    stub(folder, "python", 'printf "%s\\n" "$@"')
    variables = {
        "AUDITOR_REF": "v1",
        "AUDITOR_REPOSITORY": "a repository",
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    script = ["bash", "-eo", "pipefail", "-c", "\n".join(job["before_script"])]
    done = subprocess.run(script, env=environment() | variables, capture_output=True, text=True)
    words = done.stdout.splitlines()
    assert words[words.index("--branch") + 1 : words.index("--branch") + 4] == ["v1", "a repository", ".auditor"]
    assert words[-1] == "./.auditor"
    assert (
        subprocess.run(script, env=environment() | variables | {"GIT_CODE": "128"}, capture_output=True).returncode != 0
    )


def test_the_hook_checks_policies(tmp_path: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["language"] == "python"
    for name, matches in (
        ("policy.toml", True),
        ("ci/my-policy.toml", True),
        ("notpolicy.toml", False),
        ("policy.json", False),
    ):
        assert bool(re.search(hook["files"], name)) == matches
    files = [tmp_path / name for name in ("policy.toml", "b-policy.toml")]
    for file in files:
        file.write_text(MILD)
    command = [*hook["entry"].split(), *map(str, files)]
    good = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert good.returncode == 0, good
    files[1].write_text(MILD.replace("max", "maxx"))
    bad = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert bad.returncode == 2
    assert "'maxx'" in bad.stderr
    assert "b-policy.toml" in bad.stderr
