"""The policy of a gate, from a TOML file: what must not leak, and who may be let through for how long."""

import hashlib
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import date, datetime
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, cast

from ..documents.figures import ANY, nearest_paths
from ..documents.gates import Tolerable
from ..errors import ConfigError
from ..toml_files import parse_toml, read_toml_text
from .subject import Part, kind_of_path, may_exist

__all__ = [
    "BUILT_IN",
    "Gate",
    "Policy",
    "Waiver",
    "built_in_policy",
    "built_in_text",
    "check_metric",
    "parse_policy",
    "read_policy",
]

BUILT_IN = "built-in"
VERSION = 1
LARGEST = sys.float_info.max
MOST_TABLES = 500

Decision = Literal["fail", "pass"]
Correction = Literal["holm", "none"]

_HEADER = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?")
_NAMED = re.compile(r"""\s*name\s*=\s*["']([A-Za-z0-9_.-]+)["']""")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHARE = re.compile(
    r"\.(?:(?:\w+_)?auc|auc_\w+|f1|f1_equal_error|posterior|tpr_at_fpr\.[0-9][0-9.e-]*)$|^retrained\.attacks\..+\.change$"
)
"""Paths of figures between 0 and 1, and of their changes, between -1 and 1."""
_CHOICES = {"inconclusive": ("fail", "pass"), "unsound": ("fail", "pass"), "correction": ("holm", "none")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """A limit on a figure of a result.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``.`` and ``-``.
    metric : str
        Path of the figure, such as ``attacks.headline.auc``.
    min, max : float or None
        The limits, both allowed; at least one of them.
    description : str
        What it is about, for people; empty means the metric in words.
    """

    name: str
    metric: str
    min: float | None = None
    max: float | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """A gate that stops nothing until a day, that day included, and why."""

    gate: str
    reason: str
    expires: date

    def covers(self, gate: str, today: date) -> bool:
        """Whether it is about a gate and has not expired."""
        return self.gate == gate and today <= self.expires


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Gates with what follows when they cannot be decided, and waivers.

    Parameters
    ----------
    gates : tuple of Gate
        Names are unique.
    waivers : tuple of Waiver
    inconclusive, unsound : {"fail", "pass"}
        Whether a gate that is not decided, or an audit that forbids a verdict, stops the run.
    correction : {"holm", "none"}
    source, sha256 : str
        Path of the file or ``built-in``, and the hash of its text.
    lines : mapping of str to int
        Of a file, the line that names each gate, from 1.
    """

    gates: tuple[Gate, ...]
    waivers: tuple[Waiver, ...] = ()
    inconclusive: Decision = "fail"
    unsound: Decision = "fail"
    correction: Correction = "holm"
    source: str = BUILT_IN
    sha256: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)

    @property
    def let_through(self) -> tuple[Tolerable, ...]:
        """Outcomes besides pass that stop nothing."""
        decisions: tuple[tuple[Tolerable, Decision], ...] = (
            ("inconclusive", self.inconclusive),
            ("refused", self.unsound),
        )
        return tuple(outcome for outcome, decision in decisions if decision == "pass")


@cache
def built_in_text(part: Part | None = None) -> str:
    """Return the built-in policy, of an audit as ``auditor gate --init`` writes it, or of a document of one part."""
    return files(__package__).joinpath("templates", f"{part or 'policy'}.toml").read_text(encoding="utf-8")


def built_in_policy(part: Part | None = None) -> Policy:
    """Return the policy that holds where none is given, of an audit exactly the text that ``--init`` writes."""
    return parse_policy(built_in_text(part), BUILT_IN)


def read_policy(path: Path) -> Policy:
    """Read a policy from a file.

    Raises
    ------
    ConfigError
        If it cannot be read, or as `parse_policy` says.
    """
    text = read_toml_text(path, "policy")
    return replace(parse_policy(text, str(path)), lines=_lines(text))


def parse_policy(text: str, source: str) -> Policy:
    """Read a policy, checking every key of it.

    Parameters
    ----------
    text : str
        TOML.
    source : str
        Where it comes from, for messages and for the report.

    Raises
    ------
    ConfigError
        In one line: not TOML, an unknown key (with the nearest known one), a value of the wrong kind, a gate without a
        limit, two gates of one name, a limit outside the
        range of its figure, a waiver without a reason or a day, or of a gate that is not there.
    """
    given = parse_toml(text, f"the policy {source}")
    try:
        return _policy(given, source, hashlib.sha256(text.encode("utf-8")).hexdigest())
    except ConfigError as error:
        raise ConfigError(f"policy {source}: {error}") from error


def _policy(given: Mapping[str, Any], source: str, sha256: str) -> Policy:
    _check_keys(given, ("version", "gate", "waiver", *_CHOICES), "")
    if type(given.get("version")) is not int or given["version"] != VERSION:
        raise ConfigError(f"it must say version = {VERSION}, got {given.get('version')!r}")
    for key, allowed in _CHOICES.items():
        if key in given and given[key] not in allowed:
            raise ConfigError(f"{key} must be one of {', '.join(map(repr, allowed))}, got {given[key]!r}")
    gates = tuple(_gate(table, i) for i, table in enumerate(_tables(given, "gate"), 1))
    if not gates:
        raise ConfigError("there is no [[gate]], so nothing could ever fail; see `auditor gate --init`")
    names = [gate.name for gate in gates]
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        raise ConfigError(f"two gates are named {twice[0]!r}; a waiver could not tell them apart")
    waivers = tuple(_waiver(table, i) for i, table in enumerate(_tables(given, "waiver"), 1))
    for waiver in waivers:
        if waiver.gate not in names:
            near = get_close_matches(waiver.gate, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise ConfigError(f"a waiver names the gate {waiver.gate[:64]!r}, which is not in the policy; {hint}")
    chosen = {key: given[key] for key in _CHOICES if key in given}
    return Policy(gates=gates, waivers=waivers, source=source, sha256=sha256, **chosen)


def _lines(text: str) -> dict[str, int]:
    """Find the line that names each gate, from 1, so that a finding can point at it."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = header[1]
        elif table == "gate" and (named := _NAMED.match(line)):
            found.setdefault(named[1], number)
    return found


def _tables(given: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    tables = given.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"{key} is written as [[{key}]], a table each")
    if len(tables) > MOST_TABLES:
        raise ConfigError(f"there are {len(tables):,} [[{key}]]; at most {MOST_TABLES:,} are allowed")
    return tables


def _gate(given: Mapping[str, Any], number: int) -> Gate:
    where = f"gate {given['name']!r}" if isinstance(given.get("name"), str) else f"[[gate]] number {number}"
    _check_table(given, Gate, where)
    name = given["name"]
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{where}: a name has up to 64 letters, digits, '_', '.' and '-'")
    limits = {end: _limit(given[end], f"{where}: {end}") for end in ("min", "max") if end in given}
    if not limits:
        raise ConfigError(f"{where}: it needs max, min or both")
    if limits.get("min", -math.inf) > limits.get("max", math.inf):
        raise ConfigError(f"{where}: min {given['min']} is above max {given['max']}, so nothing could pass")
    _check_range(given["metric"], limits, where)
    return Gate(name=name, metric=given["metric"], description=given.get("description", ""), **limits)


def _check_range(metric: str, limits: Mapping[str, float], where: str) -> None:
    """Refuse a limit that no share could reach, or all would."""
    if _SHARE.search(metric) is None:
        return
    low = -1.0 if metric.startswith("change.") or metric.endswith(".change") else 0.0
    for end, value in limits.items():
        if not low <= value <= 1:
            hint = f"; a percentage? use {value / 100:g}" if 1 < value <= 100 else ""
            raise ConfigError(f"{where}: {end} = {value:g} is impossible, {metric} lies between {low:g} and 1{hint}")


def _limit(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        raise ConfigError(f"{where} takes a finite number, got {repr(value)[:40]}")
    return float(value)


def _waiver(given: Mapping[str, Any], number: int) -> Waiver:
    where = f"[[waiver]] number {number}"
    expires = given.get("expires")
    if "expires" in given and (not isinstance(expires, date) or isinstance(expires, datetime)):
        raise ConfigError(f"{where}: expires is a day without quotes, such as expires = 2027-01-31, got {expires!r}")
    _check_table(given, Waiver, where)
    if not given["reason"].strip():
        raise ConfigError(f"{where}: a waiver needs a reason that its readers can judge")
    return Waiver(gate=given["gate"], reason=given["reason"].strip(), expires=cast(date, expires))


def _check_table(given: Mapping[str, Any], kind: type[Gate] | type[Waiver], where: str) -> None:
    """Refuse unknown keys, missing keys, and words that are not strings."""
    _check_keys(given, [one.name for one in fields(kind)], f"{where}: ")
    for one in fields(kind):
        if one.default is MISSING and one.name not in given:
            raise ConfigError(f"{where}: {one.name} is missing")
        if one.type is str and not isinstance(given.get(one.name, ""), str):
            raise ConfigError(f"{where}: {one.name} takes a string, got {given[one.name]!r}")


def _check_keys(given: Mapping[str, Any], known: list[str] | tuple[str, ...], where: str) -> None:
    for key in given:
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{where}unknown key {key!r}; {hint}")


def check_metric(gate: Gate, offered: Mapping[str, object], *, source: str) -> None:
    """Refuse a metric that neither this document nor any other has.

    Parameters
    ----------
    gate : Gate
    offered : mapping
        Paths of this document.
    source : str
        Of the policy, for the message.

    Raises
    ------
    ConfigError
        With the nearest paths.
    """
    if gate.metric in offered or kind_of_path(gate.metric) is not None:
        return
    near = nearest_paths(gate.metric, [*offered, *_of_the_same_attack(gate.metric), *may_exist()])
    hint = f"did you mean {' or '.join(near)}?" if near else "see `auditor gate RESULT --list`"
    raise ConfigError(f"policy {source}: gate {gate.name!r}: there is no figure {gate.metric!r}; {hint}")


def _of_the_same_attack(metric: str) -> list[str]:
    """List paths that may exist of the attack that a path names, or else of the headline attack."""
    before, _, rest = metric.partition("attacks.")
    names = (rest.partition(".")[0], "headline")
    paths = [f"{before}attacks.{name}.{leaf}" for name in names for leaf in _leaves()]
    return [path for path in paths if kind_of_path(path) is not None]


def _leaves() -> list[str]:
    """List what is measured of an attack."""
    start = f"attacks.{ANY}."
    return [path.removeprefix(start) for path in may_exist() if path.startswith(start)]
