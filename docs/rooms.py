"""The page of every file: room by room, each module with the first line of its docstring, read from the code."""

import ast
from pathlib import Path

__all__ = ["rooms_page"]

ROOT = Path(__file__).parent.parent


def rooms_page() -> str:
    """Write a table a room: its modules, and what each says of itself."""
    tops = [ROOT / top for top in ("auditor", "attacks", "reports")]
    rooms = sorted(path.parent for top in tops for path in top.rglob("__init__.py"))
    tables = "\n\n".join(map(_room, rooms))
    return (
        "# Every file\n\nA room is a folder, told by its `__init__`; [the house](architecture.md) says how they stand "
        f"to each other.\n\n{tables}\n"
    )


def _room(folder: Path) -> str:
    modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
    rows = "\n".join(f"| [{one.stem}](../{one.relative_to(ROOT).as_posix()}) | {_opening(one)} |" for one in modules)
    title = f"## `{folder.relative_to(ROOT).as_posix()}/`\n\n{_opening(folder / '__init__.py')}"
    return f"{title}\n\n| module | what it holds |\n|---|---|\n{rows}" if modules else title


def _opening(path: Path) -> str:
    """Return the first sentence block of a module's docstring, on one line and harmless in a table."""
    told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(told.partition("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")
