"""The table of two hops: from every top key of a document to the function that makes it, read from the code."""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["made_by_tables"]

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    ("`result.json` of `auditor audit`", "auditor/auditing/pipeline.py", "AuditResult"),
    ("`gates.json` of `auditor gate`", "auditor/gates/judge.py", "GateReport"),
    ("`comparison.json` of `auditor compare`", "auditor/comparison/compare.py", "AuditComparison"),
    ("`curve.json` of `auditor audit --target 'run/checkpoint-*'`", "auditor/comparison/curve.py", "Curve"),
    ("the document of `auditor predict --json`", "auditor/laws/prediction.py", "Prediction"),
)
"""Documents, the module in which each is put together, and the class that is called there."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function of ours and the file that holds it."""

    name: str
    file: str


def made_by_tables() -> str:
    """Write a table a document: its keys, who makes each, and what that function calls in other rooms."""
    return "\n\n".join(_table(title, file, kind) for title, file, kind in DOCUMENTS)


def _table(title: str, file: str, kind: str) -> str:
    maker, call = _construction(file, kind)
    rows = []
    for keyword in call.keywords:
        functions = _calls(keyword.value, file, maker) or [Function(maker.name, file)]
        inner = [one for function in functions for one in _called_elsewhere(function) if function.name != maker.name]
        rows.append(f"| `{keyword.arg}` | {_listed(functions)} | {_listed(inner)} |")
    return f"**{title}**\n\n| key | made by | which calls |\n|---|---|---|\n" + "\n".join(rows)


def _listed(functions: list[Function]) -> str:
    """Write functions with their files, those of one file together."""
    by_file: dict[str, list[str]] = {}
    for function in dict.fromkeys(functions):
        by_file.setdefault(function.file, []).append(f"`{function.name}`")
    return "; ".join(f"{', '.join(names)} in [{file}](../{file})" for file, names in by_file.items()) or "—"


def _construction(file: str, kind: str) -> tuple[ast.FunctionDef, ast.Call]:
    """Find the function that puts a document together, and the call of the document's class in it."""
    for function in ast.walk(_parsed(file)):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == kind:
                    return function, node
    raise LookupError(f"{file} makes no {kind}")


def _calls(value: ast.expr, file: str, maker: ast.FunctionDef) -> list[Function]:
    """List the functions of ours in an expression; a variable stands for what was assigned to it in the maker."""
    found = _called(value, file)
    names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
    if not found:
        found = [one for name in sorted(names) for part in _assigned(name, maker) for one in _called(part, file)]
    if not found:
        found = [one for name in sorted(names) for one in _given(name, file, maker)]
    return found


def _given(parameter: str, file: str, maker: ast.FunctionDef) -> list[Function]:
    """List the functions behind what the callers in the same file give the maker for one of its parameters."""
    places = [one.arg for one in maker.args.args]
    found = []
    for caller in ast.walk(_parsed(file)):
        if not isinstance(caller, ast.FunctionDef) or caller is maker:
            continue
        for node in ast.walk(caller):
            if isinstance(node, ast.Call) and _is_name(node.func, maker.name):
                given = dict(zip(places, node.args, strict=False)) | {one.arg: one.value for one in node.keywords}
                found += _calls(given[parameter], file, caller) if parameter in given else []
    return found


def _assigned(name: str, maker: ast.FunctionDef) -> list[ast.expr]:
    """List what a function assigns to a name, tuples taken apart."""
    found = []
    for node in ast.walk(maker):
        if isinstance(node, ast.AnnAssign) and node.value is not None and _is_name(node.target, name):
            found.append(node.value)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(target.elts, node.value.elts, strict=True)
                    found += [value for one, value in pairs if _is_name(one, name)]
                elif _is_name(target, name) or (
                    isinstance(target, ast.Tuple) and any(_is_name(one, name) for one in target.elts)
                ):
                    found.append(node.value)
    return found


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _called(node: ast.AST, file: str) -> list[Function]:
    """List the functions of ours that are called below a node, in their order; classes are not listed."""
    calls = [one.func.id for one in ast.walk(node) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)]
    ours = (_origin(name, file) for name in dict.fromkeys(calls))
    return [function for function in ours if function is not None and function.name.lstrip("_")[:1].islower()]


def _called_elsewhere(function: Function) -> list[Function]:
    """List the functions of other modules that a function calls, its private helpers looked through."""
    seen, queue, found = set[str](), [function.name], list[Function]()
    bodies = {node.name: node for node in ast.walk(_parsed(function.file)) if isinstance(node, ast.FunctionDef)}
    while queue:
        name = queue.pop(0)
        if name in seen or name not in bodies:
            continue
        seen.add(name)
        for one in _called(bodies[name], function.file):
            if one.file == function.file:
                queue.append(one.name)
            else:
                found.append(one)
    return list(dict.fromkeys(found))


def _origin(name: str, file: str) -> Function | None:
    """Find the file that defines a name used in another; None if it is not ours."""
    tree = _parsed(file)
    if any(isinstance(node, ast.FunctionDef) and node.name == name for node in tree.body):
        return Function(name, file)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any((one.asname or one.name) == name for one in node.names):
            original = next(one.name for one in node.names if (one.asname or one.name) == name)
            base = Path(file).parents[node.level - 1] if node.level else Path()
            module = base / (node.module or "").replace(".", "/")
            source = next((place for place in _files(module) if (ROOT / place).is_file()), None)
            if source is None:
                return None
            return _origin(original, source) if Path(source).name == "__init__.py" else Function(original, source)
    return None


def _files(module: Path) -> tuple[str, str]:
    """Return the two places where a module may lie."""
    return f"{module}.py", f"{module}/__init__.py"


@cache
def _parsed(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))
