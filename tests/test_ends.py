"""Ends of a run: signals, panics, readers that leave, places that cannot be written, sizes without end, links."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditor.documents.files import folder_for_owner, from_text, to_text, whole_file
from auditor.documents.result import SCHEMA_VERSION, AuditResult
from auditor.documents.salt import Salt, read_salt
from auditor.errors import ConfigError
from helpers import Run, write_jsonl
from helpers_audits import build_full, build_poisoned

ROOT = Path(__file__).parents[1]
AUDITOR = [sys.executable, "-m", "auditor"]
INTERRUPTED = "Error: interrupted; what was finished is kept, run the same command again to go on\n"


class PanicException(BaseException):
    """What Rust code raises in Python."""


def test_a_panic_is_code_2_and_quotes_no_text(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(**_: object) -> None:
        raise PanicException("byte index 1 is not a char boundary; it is inside 'é' of `my secret`")

    monkeypatch.setattr("auditor.cli.report.make_console", panic)
    ran = run("attacks")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "PanicException" in ran.err
    assert "secret" not in ran.err


@pytest.mark.slow
def test_a_tokenizer_that_panics_is_one_line(tmp_path: Path, tiny_models: dict[str, Path],
                                             tiny_data: dict[str, Path]) -> None:  # fmt: skip
    """The library prints a panic, and where it was, before Python hears of it."""
    import shutil

    shutil.copytree(tiny_models["target"], tmp_path / "model")
    file = tmp_path / "model" / "tokenizer.json"
    tokenizer = json.loads(file.read_text())
    split = {"type": "Split", "pattern": {"Regex": "(a+)+(?=b)c|((x|y|x)*)*z"}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, level]}
    file.write_text(json.dumps(tokenizer))
    members = write_jsonl(
        tmp_path / "m.jsonl", ["a" * 40 + " " + "xy" * 40 + " secret", *(f"text {i}" for i in range(30))]
    )
    command = [*AUDITOR, "audit", "--target", tmp_path / "model", "--members", members, "--non-members",
               tiny_data["non_members"], "--out", tmp_path / "out"]  # fmt: skip
    environment = os.environ | {"RUST_BACKTRACE": "1"}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert (ran.returncode, ran.stdout) == (2, "")
    *phases, line = ran.stderr.splitlines()
    assert [one[:4] for one in phases] == ["1/6 ", "2/6 ", "3/6 "], ran.stderr[:2000]
    assert line.startswith("Error: the tokenizer fails on a text: its library panicked")
    assert "secret" not in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_one_line_and_code_2(number: signal.Signals, tmp_path: Path) -> None:
    code = (
        "import signal, sys, time, auditor.cli.report as report\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a run in the background ignores it
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # and one under nohup this
        "def wait(**_):\n"
        "    print('ready', flush=True); time.sleep(60)\n"
        "report.make_console = wait\n"
        "sys.argv = ['auditor', 'attacks']\n"
        "from auditor.cli import main; main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (2, INTERRUPTED)


@pytest.mark.parametrize("module", ["click", "auditor.cli.commands", "rich.table", "attacks.base"])
def test_a_signal_while_modules_are_imported(module: str) -> None:
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "sys.argv = ['auditor', 'attacks']\n"
        "from auditor.cli import main; main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", INTERRUPTED)


def test_a_signal_that_a_destructor_swallows_is_raised_again() -> None:
    code = (
        "import os, signal, sys, time, auditor.cli.report as report\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Last:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT); time.sleep(0)\n"
        "def wait(**_):\n"
        "    one = Last(); del one; time.sleep(60)\n"
        "report.make_console = wait\n"
        "sys.argv = ['auditor', 'attacks']\n"
        "from auditor.cli import main; main()\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (ran.returncode, ran.stderr) == (2, INTERRUPTED)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment(number: signal.Signals, tmp_path: Path, tiny_models: dict[str, Path],
                                tiny_data: dict[str, Path]) -> None:  # fmt: skip
    """From when Python itself has started; whatever was reached, nothing private stays outside the folder."""
    options = {"target": tiny_models["target"], "reference": tiny_models["reference"], "members": tiny_data["members"],
               "non-members": tiny_data["non_members"]}  # fmt: skip
    flags = [str(part) for key, value in options.items() for part in (f"--{key}", value)]
    (tmp_path / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary")}
    for step in range(30):
        out = tmp_path / "out" / str(step)
        process = subprocess.Popen([*AUDITOR, "audit", *flags, "--out", str(out)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=environment)  # fmt: skip
        time.sleep(0.25 + 0.3 * step)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        lines = [line for line in err.splitlines(keepends=True) if "tokens (scoring" not in line]
        assert (process.returncode, lines) in ((2, [INTERRUPTED]), (0, [])), (step, err)
        assert not list((tmp_path / "temporary").iterdir())
        assert not list(out.rglob("*.partial"))


def test_a_reader_that_leaves_changes_no_exit_code(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(to_text(build_full()))
    (tmp_path / "fail.toml").write_text('version = 1\n[[gate]]\nname="a"\nmetric="attacks.reference.auc"\nmax=0.6\n')
    policy = f"--policy {tmp_path}/fail.toml"
    for command, code in ((f"gate {tmp_path} --list", 0), (f"gate {tmp_path} {policy}", 1)):
        line = f"'{sys.executable}' -m auditor {command} | true; exit ${{PIPESTATUS[0]}}"
        ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=ROOT)
        assert (ran.returncode, ran.stderr) == (code, "")


@pytest.mark.parametrize("command", ["##[error]x", "##vso[task.setvariable]x", "::error::x", "##teamcity[x]"])
def test_no_command_of_a_ci_system_reaches_a_log(run: Run, tmp_path: Path, command: str) -> None:
    document = to_text(build_poisoned(command))
    (tmp_path / "result.json").write_text(document)
    for more in ((), ("--list",), ("--json",)):
        ran = run("gate", tmp_path, *more)
        assert ran.code < 2, ran
        for line in (ran.out + ran.err).splitlines():
            assert "##[" not in line
            assert "##vso[" not in line
            assert "##teamcity[" not in line
            assert not line.lstrip().startswith("::"), line
    ran = run("report", tmp_path / command, "--format", "md")
    assert command not in ran.err or command.startswith("::")
    assert from_text(document, AuditResult, version=SCHEMA_VERSION, what="result") == build_poisoned(command)


UNWRITABLE: dict[str, tuple[str, ...]] = {
    "audit": ("--target", "T", "--members", "M", "--out", "OUT"),
    "pack": ("--reference", "T", "--members", "M", "--out", "OUT"),
    "pack in no folder": ("--reference", "T", "--members", "M", "--out", "OUT/x/a.pack"),
    "pack --scores": ("--reference", "T", "--members", "M", "--scores", "OUT", "--out", "PACK"),
    "split": ("M", "--out", "OUT"),
    "shadows": ("--target", "T", "--members", "M", "--non-members", "N", "--out", "OUT"),
    "capacity": ("--out", "OUT"),
    "calibrate": ("--data", "M", "--out", "OUT"),
    "predict": ("--params", "1M", "--samples", "1M", "--plot", "OUT/x.svg"),
    "compare": ("A", "B", "--out", "OUT"),
}


@pytest.mark.parametrize("command", UNWRITABLE)
def test_places_to_write_are_tried_first(run: Run, tmp_path: Path, tiny_models: dict[str, Path], command: str,
                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """The texts are not there: whoever reads them first says that."""
    blocked = tmp_path / "file"
    blocked.touch()
    out = blocked if not command.startswith("pack") or "--" in command else blocked / "a.pack"
    meant = {"T": tiny_models["target"], "M": tmp_path / "absent.jsonl", "N": tmp_path / "absent.jsonl",
             "PACK": tmp_path / "a.pack"}  # fmt: skip
    given = [meant.get(one, one.replace("OUT", str(out))) for one in UNWRITABLE[command]]
    ran = run(command.split()[0], *given)
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
    assert str(out) in ran.err
    assert "absent" not in ran.err


def test_a_folder_in_the_place_of_an_output_is_found_first(run: Run, tmp_path: Path, tiny_models: dict[str, Path]):
    (tmp_path / "out" / "result.json").mkdir(parents=True)
    ran = run("audit", "--target", tiny_models["target"], "--members", "absent.jsonl", "--out", tmp_path / "out")
    assert "result.json: it is a folder" in ran.err


def test_a_link_to_a_folder_of_scores_is_refused(run: Run, tmp_path: Path, tiny_models: dict[str, Path]) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores").symlink_to(tmp_path / "elsewhere")
    ran = run("audit", "--target", tiny_models["target"], "--members", "absent.jsonl", "--out", tmp_path / "out")
    assert "scores is a link" in ran.err
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "result.json").symlink_to(tmp_path / "precious")
    with whole_file(tmp_path / "result.json") as partial:
        partial.write_text("ours")
    assert (tmp_path / "precious").read_text() == "mine"
    assert not (tmp_path / "result.json").is_symlink()


def test_a_folder_that_was_there_keeps_its_permissions(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old").chmod(0o751)
    for name in ("old", "new"):
        folder_for_owner(tmp_path / name)
    assert (tmp_path / "old").stat().st_mode & 0o777 == 0o751
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def _bracketed(folder: Path) -> None:
    brackets = b"[" * 200_000
    (folder / "model.safetensors").write_bytes(len(brackets).to_bytes(8, "little") + brackets)


def _config(**values: Any) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return write


HOSTILE_MODELS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "layers": (_config(n_layer=10**7), "n_layer is 10,000,000"),
    "layers without end": (_config(num_hidden_layers=10**18), "num_hidden_layers is"),
    "nesting": (lambda folder: (folder / "config.json").write_text("[" * 200_000), "cannot be read"),
    "header": (_bracketed, "model.safetensors is not a safetensors file"),
    "a header of exabytes": (
        lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 7 + b"\x7f{}"),
        "model.safetensors is not a safetensors file",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE_MODELS)
def test_models_of_hostile_size_are_refused_at_once(
    run: Run, tmp_path: Path, tiny_models: dict[str, Path], tiny_data: dict[str, Path], kind: str
) -> None:
    import shutil

    spoil, says = HOSTILE_MODELS[kind]
    shutil.copytree(tiny_models["target"], tmp_path / "model")
    spoil(tmp_path / "model")
    started = time.monotonic()
    ran = run("audit", "--target", tmp_path / "model", "--members", tiny_data["members"], "--out", tmp_path / "out")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
    assert says in ran.err
    assert time.monotonic() - started < 20  # 5 on a machine of one's own


def test_models_of_hostile_size_are_refused_before_torch_is_imported(tmp_path: Path) -> None:
    """By every command that takes a model."""
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 10000000}')
    members = write_jsonl(tmp_path / "m.jsonl", ["a text"])
    commands = [
        ["audit", "--target", tmp_path, "--members", members],
        ["pack", "--reference", tmp_path, "--members", members],
        ["shadows", "--target", tmp_path, "--members", members, "--non-members", members],
        ["capacity", "--model", tmp_path / "config.json"],
        ["calibrate", "--data", members, "--model", tmp_path],
        ["predict", "--model", tmp_path, "--samples", 10],
    ]
    code = (
        "import json, sys\n"
        "from auditor.cli import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['auditor', *command]\n"
        "    try: main()\n"
        "    except SystemExit as stop: assert stop.code == 2\n"
        "    print('torch' in sys.modules or 'transformers' in sys.modules)\n"
    )
    plain = [[str(one) for one in (*command, *(["--out", tmp_path / "o"] if command[0] != "predict" else []))]
             for command in commands]  # fmt: skip
    ran = subprocess.run([sys.executable, "-c", code, json.dumps(plain)], capture_output=True, text=True, check=False,
                         cwd=ROOT)  # fmt: skip
    assert ran.stdout.split() == ["False"] * len(commands), ran.stderr
    errors = ran.stderr.splitlines()
    assert len(errors) == len(commands)
    assert all("num_hidden_layers is 10,000,000 in config.json" in line for line in errors)


HOSTILE_POLICIES = {
    "gates": ("[[gate]]\nname = 'a'\nmetric = 'attacks.loss.auc'\nmax = 1\n" * 3_000, "at most 500"),
    "key": ("a" * 200_000 + " = 1\n", "line of 200,004 characters"),
    "keys": (".".join("a" * 4_000) + " = 1\n", "3,999 dots"),
    "nesting": ("a = " + "[" * 9_000 + "\n", "not valid TOML"),
    "bytes": ("# comment\n" * 40_000, "larger than"),
}


@pytest.mark.parametrize("kind", HOSTILE_POLICIES)
def test_policies_of_hostile_size_are_refused_at_once(run: Run, tmp_path: Path, kind: str) -> None:
    text, says = HOSTILE_POLICIES[kind]
    (tmp_path / "p.toml").write_text("version = 1\n" + text)
    for arguments in (("gate", "--check-policy", tmp_path / "p.toml"), ("audit", "--config", tmp_path / "p.toml")):
        started = time.monotonic()
        ran = run(*arguments)
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran
        assert says in ran.err or (kind == "gates" and arguments[0] == "audit")
        assert time.monotonic() - started < 20


def test_a_line_of_gigabytes_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b'{"text": "')
        for _ in range(80):
            file.write(b"a" * 2**20)
        file.write(b'"}\n')
    ran = run("split", tmp_path / "a.jsonl.gz", "--out", tmp_path / "split")
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran
    assert "line 1: longer than 67,108,864 bytes" in ran.err


def test_a_salt_keys_hashes_as_hmac_does() -> None:
    import hashlib
    import hmac

    key, plain = b"0123456789abcdef", hashlib.sha256(b"yes").hexdigest()
    assert Salt(key).keyed(plain) == hmac.digest(key, plain.encode(), "sha256").hex()
    salted = Salt(key).result(build_full())
    assert salted.provenance.salt == Salt(key).name
    text = to_text(salted)
    before = build_full()
    assert before.memorization is not None
    assert not any(one.text_sha256 in text for one in before.memorization.top_samples)
    assert before.data.members.sha256 not in text


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 100_000, None])
def test_what_is_no_secret_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "salt").write_bytes(content)
    with pytest.raises(ConfigError, match="salt"):
        read_salt(tmp_path / "salt")


def test_a_salted_audit_is_checked_and_compared_with_its_salt_only(
    run: Run, tmp_path: Path, tiny_models: dict[str, Path], tiny_data: dict[str, Path]
) -> None:
    texts = [json.loads(line)["text"] for side in tiny_data.values() for line in side.read_text().splitlines()]
    corpus = write_jsonl(tmp_path / "corpus.jsonl", texts)
    salt = tmp_path / "salt"
    salt.write_bytes(bytes(range(32)))
    assert run("split", corpus, "--out", tmp_path / "split", "--salt", salt).code == 0
    manifest = (tmp_path / "split" / "manifest.json").read_text()
    options = ("audit", "--target", tiny_models["target"], "--reference", tiny_models["reference"], "--attack", "loss",
               "--members", tmp_path / "split" / "members.jsonl", "--non-members",
               tmp_path / "split" / "non_members.jsonl")  # fmt: skip
    checked = ("--split-manifest", tmp_path / "split" / "manifest.json")
    assert "give the --salt of the split" in run(*options, *checked, "--out", tmp_path / "plain").err
    assert run(*options, "--out", tmp_path / "plain").code == 0
    assert run(*options, *checked, "--salt", salt, "--out", tmp_path / "salted").code == 0
    result = json.loads((tmp_path / "salted" / "result.json").read_text())
    check = next(one for one in result["soundness"]["checks"] if one["name"] == "split_manifest")
    assert check["verdict"] == "pass"
    import pyarrow.parquet as pq

    plain = pq.read_table(tmp_path / "plain" / "samples.parquet").column("text_sha256").to_pylist()
    salted = pq.read_table(tmp_path / "salted" / "samples.parquet").column("text_sha256").to_pylist()
    assert salted == [Salt(bytes(range(32))).keyed(one) for one in plain]
    assert not any(one in manifest for one in plain)
    assert run("verify", tmp_path / "salted").code == 0
    assert "--salt" in run("compare", tmp_path / "plain", tmp_path / "salted").err
    assert run("compare", tmp_path / "salted", tmp_path / "salted").code == 0


def test_other_systems_are_refused_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditor.cli._WINDOWS", True)
    ran = run("attacks")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "Linux and macOS" in ran.err


def interrupted(command: list[object], *, after: Callable[[], bool]) -> tuple[int, list[str]]:
    """Run a command until something is there, send Ctrl-C, and return the exit code and the lines on stderr."""
    process = subprocess.Popen([*AUDITOR, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, cwd=ROOT)  # fmt: skip
    end = time.monotonic() + 120
    while not after() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err.splitlines(keepends=True)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", ["shadows", "capacity", "calibrate"])
def test_ctrl_c_while_models_are_trained(name: str, workers: int, tmp_path: Path, tiny_models: dict[str, Path],
                                         tiny_data: dict[str, Path]) -> None:  # fmt: skip
    """One line, nothing half-written or private left behind, and the same command goes on with what was finished."""
    from helpers import make_texts

    out = tmp_path / "out"
    corpus = write_jsonl(tmp_path / "corpus.jsonl", make_texts(400, seed=3, words=200))
    command, finished = {
        "shadows": (["--target", tiny_models["target"], "--members", tiny_data["members"], "--non-members",
                     tiny_data["non_members"], "--models", 4, "--steps", 40], "shadow-*/shadow.json"),
        "capacity": (["--model", "smoke", "--steps", 10], "runs.jsonl"),
        "calibrate": (["--data", corpus, "--ratios", ".005,.01", "--epochs", 2, "--least-steps", 20,
                       "--reference-steps", 20, "--reference-samples", 50, "--held-out", 60], "trainings.jsonl"),
    }[name]  # fmt: skip
    command = [name, *command, "--workers", workers, "--out", out]

    def some() -> list[Path]:
        return [path for path in out.glob(finished) if path.stat().st_size]

    code, lines = interrupted(command, after=lambda: bool(some()))
    assert (code, lines[-1:]) == (2, [INTERRUPTED]), lines
    assert not any("Traceback" in line or "Error" in line for line in lines[:-1])
    before = {path: path.read_bytes() for path in some()}
    assert before
    assert not [path for path in out.rglob("*") if path.suffix in (".partial", ".npz")]
    ran = subprocess.run([*AUDITOR, *map(str, command)], capture_output=True, text=True, check=False, cwd=ROOT)
    assert ran.returncode == 0, ran.stderr
    assert all(path.read_bytes().startswith(content) for path, content in before.items())


@pytest.mark.slow
def test_a_demo_that_is_interrupted_starts_anew(tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, lines = interrupted(["demo", "--out", out], after=lambda: (out / "reference" / "config.json").exists())
    assert (code, lines[-1]) == (2, INTERRUPTED.replace(
        "what was finished is kept, run the same command again to go on",
        "a demo goes on from no training: run the same command again to start anew"))  # fmt: skip
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize("form", ["html", "md", "json"])
@pytest.mark.parametrize("text", ["##[error]others", "##vso[task.x]others", "::error::others", "a\n::error::others"])
def test_a_printed_report_holds_no_command_to_a_ci_system(run: Run, tmp_path: Path, form: str, text: str) -> None:
    (tmp_path / "result.json").write_text(to_text(build_poisoned(text)))
    ran = run("report", tmp_path, "--format", form)
    assert ran.code == 0, ran.err
    assert "others" in ran.out
    assert not re.search(r"##\w*\[|^\s*::error", ran.out, re.MULTILINE)
