"""Write the documentation that follows from the code, or with ``--check`` say what has drifted."""

import inspect
import json
import sys
import textwrap
from dataclasses import fields
from pathlib import Path

import click
from made_by import made_by_tables
from rooms import rooms_page

import auditor
from attacks import BUILTIN, Need
from auditor.auditing.attack_choice import when_run
from auditor.benching.public_sets import PUBLIC_SETS
from auditor.cli import cli
from auditor.config import AuditConfig
from auditor.documents.calibration import read_calibration
from auditor.documents.capacity import read_capacity
from auditor.documents.files import document_schema
from auditor.documents.gates import GateReport
from auditor.documents.reproduction import GRID_PARTS, read_capacity_grid, read_capacity_sweep
from reports import comparison_schema, curve_schema, json_schema, leaderboard_schema, secrets_schema
from reports.paper import paper_page as render_paper
from reports.plots import LANDMARKS

HERE = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code; edit the code, then run it. -->\n\n"


def command_pages() -> str:
    """Every command with its help, as the command line prints it."""
    parts = [NOTE + "# Command line\n"]
    root = cli.context_class(cli, info_name="auditor", max_content_width=100, show_default=True)
    root.terminal_width = 100
    parts.append(f"```text\n{cli.get_help(root)}\n```\n")
    parts += _helps(cli, root, "##")
    parts.append(
        "## Completion\n\nCommands, options, choices and files are completed by the Tab key once the shell has been "
        "told, for bash, zsh and fish:\n\n<!-- not run: lines for the start-up file of a shell -->\n```sh\n"
        'eval "$(_AUDITOR_COMPLETE=bash_source auditor)"       # in ~/.bashrc\n'
        'eval "$(_AUDITOR_COMPLETE=zsh_source auditor)"        # in ~/.zshrc\n'
        "_AUDITOR_COMPLETE=fish_source auditor | source         # in ~/.config/fish/completions/auditor.fish\n```\n"
    )
    parts.append(
        "## How much is printed\n\nA summary has at most 40 lines; `--verbose` prints the whole of it, `--quiet` "
        "nothing but errors and one line of a verdict. Of both the last one counts. Progress goes to stderr: "
        "numbered phases on a terminal, and as lines in a log.\n"
    )
    parts.append(
        "## Exit codes and streams\n\n"
        "`0` done, `1` only a failed gate, `2` anything else, with one line `Error: ...` on stderr (`--debug` adds "
        "the traceback). Results go to stdout, progress and errors to stderr; with `--json` stdout holds the "
        "result document and nothing else. Ctrl-C and `kill` leave a store of scores from which the same command "
        "goes on.\n"
    )
    return "\n".join(parts)


def _helps(group: click.Group, parent: click.Context, mark: str) -> list[str]:
    """Write the help of every command of a group, and of the commands of those that are groups."""
    parts = []
    for name, command in sorted(group.commands.items()):
        context = command.context_class(command, info_name=name, parent=parent, max_content_width=100)
        context.terminal_width = 100
        parts.append(f"{mark} `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n")
        if isinstance(command, click.Group):
            parts += _helps(command, context, f"{mark}#")
    return parts


def attack_page() -> str:
    """Every attack: formula, when it is run, needs, paper."""
    rows = "\n".join(
        f"| `{name}` | {attack.summary} | {', '.join(f'`{k}={v}`' for k, v in attack().params().items()) or '-'} "
        f"| {when_run(attack.needs).removeprefix('run ')} | {', '.join(sorted(attack.needs)) or '-'} "
        f"| {attack.paper} | `{attack.__module__.replace('.', '/')}.py` |"
        for name, attack in BUILTIN.items()
    )
    needs = "\n".join(f"- `{need}`: {_need_doc(need)}" for need in Need)
    details = "\n\n".join(
        f"## `{name}`\n\n{textwrap.dedent('    ' + (attack.__doc__ or '')).strip()}" for name, attack in BUILTIN.items()
    )
    return (
        f"{NOTE}# Attacks\n\nA score is higher for members, always. One forward pass per model and text view serves "
        "all attacks; gradients and continuations take passes of their own. *Run when named* also means with "
        "`--attack all`. [attacks-guide.md](attacks-guide.md) says what each input is and what breaks it.\n\n"
        "| attack | score | parameters | run | needs | paper | file |\n|---|---|---|---|---|---|---|\n"
        f"{rows}\n\nNeeds:\n\n{needs}\n\n{details}\n"
    )


def _need_doc(need: Need) -> str:
    """Say what a need means (the words stand in attacks/base.py)."""
    lines = Path(HERE.parent / "attacks" / "base.py").read_text(encoding="utf-8").splitlines()
    place = next(i for i, line in enumerate(lines) if line == f'    {need.name} = "{need.value}"')
    return lines[place + 1].strip().strip('"').rstrip(".")


def config_page() -> str:
    """Every key of a configuration file."""
    rows = "\n".join(
        f"| `{field.name}` | {'required' if field.name in ('target', 'members') else f'`{_default(field.default)}`'} |"
        for field in fields(AuditConfig)
    )
    body = textwrap.dedent("    " + (AuditConfig.__doc__ or "")).split("Parameters\n----------\n")[1].strip()
    return (
        f"{NOTE}# Configuration file\n\n`auditor audit --config audit.toml`; flags override the file, unknown keys are "
        "errors. Models, data and attacks are written as on the command line; `text_field`, "
        "`split`, `non_members_split`, `adapter`, `tokenizer` and `reference_tokenizer` "
        "may be given too.\n\n"
        '```toml\ntarget = "models/finetuned"\nreferences = ["models/base"]\nmembers = "train.jsonl"\n'
        'non_members = "heldout.jsonl"\nattacks = ["loss", "reference", "min_k:k=0.1"]\n'
        "fpr_targets = [0.01, 0.05]\n```\n\n"
        f"| key | default |\n|---|---|\n{rows}\n\n```text\n{body}\n```\n"
    )


def landmarks_page() -> str:
    """Every model on the map of `auditor predict --plot`, with its source."""
    rows = "\n".join(
        f"| {one.name} | {one.params:.4g} | {one.tokens:.4g} | {'unique' if one.unique else 'seen'} | {one.source} |"
        for one in LANDMARKS
    )
    return (
        f"{NOTE}# Models on the map of `auditor predict --plot`\n\nTokens are those seen in training, unless marked as "
        "unique; the law counts unique ones.\n\n"
        f"| model | parameters | tokens | counted | source |\n|---|---|---|---|---|\n{rows}\n"
    )


def paper_page() -> str:
    """Every claim of the paper beside what was measured here: by `auditor reproduce` as far as its data are here."""
    data = HERE / "data"
    swept, text = data / "paper-capacity.json", data / "paper-calibration.json"
    capacity = read_capacity_sweep(swept) if swept.is_file() else None
    grids = [read_capacity_grid(one) for part in GRID_PARTS if (one := data / f"paper-{part}.json").is_file()]
    calibration = read_calibration(text if text.is_file() else data / "calibration-kjv.json")
    figures = {"capacity": "images/capacity.svg", "membership": "images/calibration.svg"}
    for part in ("capacity", *GRID_PARTS, "text", "membership", "extraction"):
        if (HERE / "images" / f"paper-{part}.svg").is_file():
            figures[part] = f"images/paper-{part}.svg"
    closely = read_capacity(data / "capacity-tiny.json")
    return NOTE + render_paper(capacity, calibration, closely=closely, grids=grids, figures=figures)


def architecture_page() -> str:
    """Return the page on the house, with the tables between its two marks made anew."""
    before, begin, rest = (HERE / "architecture.md").read_text(encoding="utf-8").partition("<!-- two hops -->\n")
    _, end, after = rest.partition("<!-- end of two hops -->")
    return f"{before}{begin}\n{made_by_tables()}\n\n{end}{after}"


def bench_page() -> str:
    """Return the page on benches, with the table of public sets between its two marks made anew."""
    before, begin, rest = (HERE / "bench.md").read_text(encoding="utf-8").partition("<!-- public sets -->\n")
    _, end, after = rest.partition("<!-- end of public sets -->")
    rows = "\n".join(
        f"| `{key}` | {one.name}, {one.paper} | {f'`{one.repository}`' if one.repository else 'not on the hub'} "
        f"| `{one.text_field}`{' (token ids)' if one.holds_tokens else ''} "
        f"| {f'`{one.label_field}`' if one.label_field else 'two files'} | {one.licence} "
        f"| {', '.join(f'`{part}`' for part in one.parts)} |"
        for key, one in PUBLIC_SETS.items()
    )
    known = "\n".join(
        f"- `{key}`{f', `{start}…`' if start else ''}: {said}."
        for key, one in PUBLIC_SETS.items()
        for start, said in one.caution.items()
    )
    head = "| `set` | what, paper | repository | text | label | licence | `part` |\n|---|---|---|---|---|---|---|"
    return f"{before}{begin}\n{head}\n{rows}\n\nWhat is known of them:\n\n{known}\n\n{end}{after}"


def python_page() -> str:
    """Return the page on the library, with the reference between its two marks made anew."""
    before, begin, rest = (HERE / "python.md").read_text(encoding="utf-8").partition("<!-- reference -->\n")
    _, end, after = rest.partition("<!-- end of reference -->")
    parts = [_described(f"auditor.{name}", getattr(auditor, name)) for name in auditor.__all__ if name != "__version__"]
    return f"{before}{begin}\n" + "\n\n".join(parts) + f"\n\n{end}{after}"


def notebook_page() -> str:
    """Return the notebook as a page: its words, and its code without what it shows."""
    cells = json.loads((HERE / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    parts = ["".join(one["source"]) for one in cells]
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            parts[i] = f"```python\n{parts[i]}\n```"
    parts.insert(1, "(This page is made of [notebook.ipynb](notebook.ipynb), which a test runs.)")
    return NOTE + "\n\n".join(parts) + "\n"


def _described(name: str, value: object) -> str:
    """Describe a function, or a class with its public methods, by its signature and docstring."""
    if inspect.isfunction(value):
        signature = str(inspect.signature(value)).replace("'", "").replace('"', "")
        return f"### `{name}`\n\n```text\n{_folded(name + signature)}\n\n{inspect.getdoc(value)}\n```"
    parts = [f"### `{name}`\n\n```text\n{inspect.getdoc(value)}\n```"]
    for method, one in vars(value).items():
        if inspect.isfunction(one) and not method.startswith("_"):
            parts.append("#" + _described(f"{name.removeprefix('auditor.')}.{method}", one))
    return "\n\n".join(parts)


def _folded(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 110, subsequent_indent="    ", break_long_words=False))


def _default(value: object) -> str:
    """Write a default as TOML would."""
    if isinstance(value, tuple):
        return json.dumps(list(value))
    return "not set" if value is None else json.dumps(value)


def pages() -> dict[Path, str]:
    """All generated files."""
    return {
        HERE / "cli.md": command_pages(),
        HERE / "architecture.md": architecture_page(),
        HERE / "rooms.md": NOTE + rooms_page(),
        HERE / "bench.md": bench_page(),
        HERE / "attacks.md": attack_page(),
        HERE / "config.md": config_page(),
        HERE / "python.md": python_page(),
        HERE / "landmarks.md": landmarks_page(),
        HERE / "notebook.md": notebook_page(),
        HERE / "paper.md": paper_page(),
        HERE / "result.schema.json": json.dumps(json_schema(), indent=1) + "\n",
        HERE / "comparison.schema.json": json.dumps(comparison_schema(), indent=1) + "\n",
        HERE / "curve.schema.json": json.dumps(curve_schema(), indent=1) + "\n",
        HERE / "leaderboard.schema.json": json.dumps(leaderboard_schema(), indent=1) + "\n",
        HERE / "secrets.schema.json": json.dumps(secrets_schema(), indent=1) + "\n",
        HERE / "gates.schema.json": json.dumps(document_schema(GateReport), indent=1) + "\n",
    }


def main() -> int:
    """Write the pages, or with ``--check`` say which ones are not what the code says."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path.name} is not what the code says: run python docs/generate.py", file=sys.stderr)
        return 1 if stale else 0
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
