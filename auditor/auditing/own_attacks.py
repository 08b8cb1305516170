"""Attacks of the user's own: a function, a class or an instance handed over in Python, or a file that is run."""

import hashlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from attacks import BUILTIN, Attack, Need, Signals
from attacks.base import FloatArray

from ..config import AttackSpec, AuditConfig
from ..errors import ConfigError
from ..in_memory import InMemory

__all__ = ["OwnAttacks", "as_attack", "own_attacks"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
_PARAMETER = "signals"
"""Name of the one parameter by which a function of a file is known to be an attack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAttacks:
    """Attacks that are no part of this product and of no installed package.

    Parameters
    ----------
    classes : mapping of str to subclass of Attack
        By name.
    origins : mapping of str to str
        Where each comes from, in words.
    wanted : tuple of str
        Names of those that were asked for by naming their file.
    """

    classes: Mapping[str, type[Attack]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()

    def notes_on(self, attacks: Sequence[Attack]) -> list[str]:
        """Say of those that are run where they come from."""
        names = dict.fromkeys(attack.name for attack in attacks if attack.name in self.origins)
        return [f"the attack {name} is not of this product: {self.origins[name]}" for name in names]


def own_attacks(config: AuditConfig, given: InMemory) -> OwnAttacks:
    """Collect what Python handed over, and what the files hold that were named; the files are run.

    Raises
    ------
    ConfigError
        For a file that cannot be run or holds no attack, and for a name that is taken.
    """
    classes = dict(given.attacks)
    origins = dict.fromkeys(classes, "it was handed over in Python")
    wanted: list[str] = []
    for path in config.attack_files:
        found, sha256 = _read_file(Path(path))
        for name, kind in found.items():
            if name in classes:
                raise ConfigError(f"--attack-file {path}: there are two attacks {name!r}; rename one")
            classes[name], origins[name] = kind, f"code of {path} was run (SHA-256 {sha256[:12]})"
            wanted.append(name)
    return OwnAttacks(classes=classes, origins=origins, wanted=tuple(wanted))


def as_attack(mine: Any, *, where: str = "attacks") -> tuple[type[Attack], AttackSpec]:
    """Take a function, a class or an instance for an attack, and say how it is asked for.

    Parameters
    ----------
    mine : callable, subclass of Attack, or Attack
        A function takes :class:`attacks.Signals` and returns one finite number a sample, higher for members. It is
        named as it is called, described by the first line of its docstring, and may say what it needs in an attribute
        ``needs``, a set of :class:`attacks.Need` or their names. It is given all samples at once.
    where : str
        For messages.

    Raises
    ------
    ConfigError
        If it is none of these, or has no name, or that of a built-in attack.
    """
    if isinstance(mine, Attack):
        kind, spec = type(mine), AttackSpec(name=mine.name, params=mine.params())
    elif isinstance(mine, type) and issubclass(mine, Attack):
        kind = mine
        spec = AttackSpec(name=getattr(mine, "name", ""), params={})
    elif inspect.isfunction(mine):
        kind = _of_function(mine, where)
        spec = AttackSpec(name=kind.name, params={})
    else:
        raise ConfigError(
            f"{where}: {type(mine).__name__} is no attack; give a name such as 'min_k:k=0.1', a function of signals, "
            "or a class derived from attacks.Attack"
        )
    _check(kind, where)
    return kind, spec


def _check(kind: type[Attack], where: str) -> None:
    """Refuse a class that does not keep the contract."""
    if inspect.isabstract(kind):
        missing = ", ".join(sorted(kind.__abstractmethods__))
        raise ConfigError(f"{where}: the class {kind.__name__} lacks {missing}; see docs/adding-an-attack.md")
    for name in ("name", "paper", "summary"):
        if not isinstance(getattr(kind, name, None), str):
            raise ConfigError(
                f"{where}: the class {kind.__name__} has no {name}, a string; see docs/adding-an-attack.md"
            )
    if not _NAME.fullmatch(kind.name) or (kind.name in BUILTIN and kind is not BUILTIN[kind.name]):
        taken = "is that of a built-in attack" if kind.name in BUILTIN else "is no name"
        raise ConfigError(f"{where}: {kind.name!r} {taken}; take letters, digits and _, and another word")
    if not is_dataclass(kind):
        raise ConfigError(
            f"{where}: the class {kind.__name__} must be a frozen dataclass: its fields are its parameters"
        )


def _of_function(function: Callable[[Signals], Any], where: str) -> type[Attack]:
    """Make a class of a function."""
    name = function.__name__
    if len(inspect.signature(function).parameters) != 1 or name == "<lambda>":
        raise ConfigError(f"{where}: {name} must be a named function of one argument, the signals of all samples")
    try:
        needs = frozenset(Need(need) for need in getattr(function, "needs", ()))
    except ValueError as error:
        raise ConfigError(f"{where}: {name}.needs: {error}; there are: {', '.join(Need)}") from error

    def score(_self: Attack, signals: Signals) -> FloatArray:
        return np.asarray(function(signals), dtype=np.float64)

    told = (inspect.getdoc(function) or "").partition("\n")[0] or "a function of the user's, without description"
    body = {"name": name, "paper": "not published", "summary": told, "needs": needs, "score": score}
    kind: type[Attack] = type(name, (Attack,), body | {"__module__": function.__module__, "__doc__": function.__doc__})
    return dataclass(frozen=True)(kind)


def _read_file(path: Path) -> tuple[dict[str, type[Attack]], str]:
    """Run a file, and return the attacks that it defines, by name, and the hash of what was run."""
    called = f"--attack-file {path}"
    if path.suffix != ".py":
        raise ConfigError(f"{called}: give a .py file that defines an attack; its code is run")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{called}: {error.strerror}") from error
    sha256 = hashlib.sha256(source).hexdigest()
    module = ModuleType(f"auditor_attack_file_{sha256[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look up what their annotations mean
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{called}: running it failed: {type(error).__name__}: {error}{_line(error, path)}"
        ) from error
    found: dict[str, type[Attack]] = {}
    for value in vars(module).values():
        if getattr(value, "__module__", None) == module.__name__ and _is_attack(value):
            kind, _ = as_attack(value, where=called)
            if kind.name in found:
                raise ConfigError(f"{called}: there are two attacks {kind.name!r}; rename one")
            found[kind.name] = kind
    if not found:
        raise ConfigError(
            f"{called}: it defines no attack: a public function of one argument called {_PARAMETER}, or a class "
            "derived from attacks.Attack"
        )
    return found, sha256


def _is_attack(value: Any) -> bool:
    """Whether something that a file defines is meant as an attack."""
    if isinstance(value, type):
        return issubclass(value, Attack) and not inspect.isabstract(value)
    if not inspect.isfunction(value) or value.__name__.startswith("_"):
        return False
    return list(inspect.signature(value).parameters) == [_PARAMETER]


def _line(error: BaseException, path: Path) -> str:
    """Say on which line of a file an error was raised, if on one."""
    frames = inspect.getinnerframes(error.__traceback__) if error.__traceback__ else []
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    number = lines[-1] if lines else getattr(error, "lineno", None)
    return f" (line {number})" if number else ""
