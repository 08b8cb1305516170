"""Figures of a document, and the readable path by which each of them is named."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from difflib import get_close_matches
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from ..errors import ResultError
from .estimate import Estimate

__all__ = [
    "AttackPath",
    "Figure",
    "PathPattern",
    "attack_path",
    "catalogue",
    "nearest_paths",
    "path_patterns",
    "unit_of",
]

ANY = "any"
"""Segment that stands for every named entry of a list: ``attacks.any.auc``."""

_KEYS = ("attack", "label", "metric", "quantity", "fpr", "share", "by", "copies", "temperature")
_NAMED = ("attack", "label", "metric", "quantity", "copies")  # entries that ``any`` runs over; rates and shares are not
_LEFT_OUT = frozenset(
    {"params", "roc", "bins", "signed_bits_histogram", "top_samples", "p_value", "p_value_holm", "threshold_bits"}
)
_NUMBER = r"[0-9][0-9.e-]*"
_OF_ATTACK = re.compile(rf"attacks\.(?P<label>.+?)\.(?P<leaf>[a-z_]\w*(?:\.(?P<fpr>{_NUMBER}))?)")

_WORDS = {
    "auc": "AUC",
    "f1": "F1 at equal error",
    "f1_equal_error": "F1 at equal error",
    "auc_residualised": "AUC without what the looks of the texts tell",
    "auc_within_strata": "AUC among texts of the same looks",
    "epsilon_lower_bound": "lower bound on epsilon",
    "n_beyond_every_non_member": "members above the highest non-member",
    "n_above_bits": "members with more bits than chance gives",
    "n_held": "secrets that the target holds",
    "n_first": "secrets that rank before every fill",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number of a document, ready to be held against a limit.

    Parameters
    ----------
    path : str
        Where it stands: ``attacks.reference.auc``.
    label : str or None
        Which entry of a list it belongs to (an attack, a group of members); None outside lists.
    description, unit : str
    value, low, high : float or None
        All None if undefined; of a figure without an interval all the same.
    level : float or None
        Confidence level of the interval; None of a band or of a figure without an interval.
    method : str
    n_members, n_non_members : int or None
    undefined_reason : str or None
    unseen_below : float or None
        Of a mean of bits: holders rarer than this share may all have been missed.
    df : float or None
        Degrees of freedom of the t quantile that the interval was made with.
    caveat : str or None
        Of which values the interval may hold less often than its level says.
    ceiling : float or None
        Of a lower bound, or a rank: the most that the evidence could have shown. A limit above it is never broken.
    sample_ids : tuple of (str, float)
        Samples behind it, the worst first, each with what is held against a limit to name it: its own value where the
        figure is the largest of them, the count where it is their number.
    """

    path: str
    label: str | None
    description: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    level: float | None
    method: str
    n_members: int | None = None
    n_non_members: int | None = None
    undefined_reason: str | None = None
    unseen_below: float | None = None
    caveat: str | None = None
    df: float | None = None
    ceiling: float | None = None
    sample_ids: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPattern:
    """Every path that a kind of document may have at one place, whether or not a given document has it."""

    regex: str
    example: str

    def holds(self, path: str) -> bool:
        """Whether a path is one of them."""
        _, _, leaf = self.example.rpartition(".")
        if leaf.isidentifier() and leaf != ANY and not path.endswith(leaf):
            return False  # told without the regular expression, of which there are hundreds
        return re.fullmatch(self.regex, path) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackPath:
    """The path of a figure of an attack, in its parts.

    Parameters
    ----------
    label : str
        Of the attack; or ``headline``, ``best``, ``any``.
    leaf : str
        What is measured: ``auc``, ``tpr_at_fpr.0.01``.
    fpr : float or None
        False-positive rate of ``leaf``; NaN if what stands there is no number, None for figures without one.
    """

    label: str
    leaf: str
    fpr: float | None


def attack_path(path: str) -> AttackPath | None:
    """Take the path of a figure of an attack apart; None for other paths.

    Examples
    --------
    >>> attack_path("attacks.min_k(k=0.2).tpr_at_fpr.0.01")
    AttackPath(label='min_k(k=0.2)', leaf='tpr_at_fpr.0.01', fpr=0.01)
    """
    matched = _OF_ATTACK.fullmatch(path)
    if matched is None:
        return None
    try:
        fpr = None if matched["fpr"] is None else float(matched["fpr"])
    except ValueError:
        fpr = math.nan
    return AttackPath(label=matched["label"], leaf=matched["leaf"], fpr=fpr)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the walk stands: the path, the same with ``any`` for named entries, and the labels of those."""

    segments: tuple[str, ...] = ()
    with_any: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def into(self, segment: str, label: str | None = None) -> "_Place":
        general = segment if label is None else ANY
        labels = self.labels if label is None else (*self.labels, label)
        return _Place((*self.segments, segment), (*self.with_any, general), labels)

    @property
    def path(self) -> str:
        return ".".join(self.segments)


def catalogue(document: Mapping[str, Any], roots: Iterable[str] | None = None) -> dict[str, tuple[Figure, ...]]:
    """Collect every figure of a document by its path.

    Parameters
    ----------
    document : mapping
        A document as JSON holds it.
    roots : iterable of str, optional
        The parts that are looked into; all of them if left out.

    Returns
    -------
    dict of str to tuple of Figure
        A figure is an estimate, a number with a band (``auc`` beside ``auc_low`` and ``auc_high``), or a number. An
        entry of a list is named by what it is about: ``attacks.min_k.auc``, ``risk.tails.0.01.mean_bits``. A path with
        ``any`` has a figure for each named entry.

    Raises
    ------
    ResultError
        If a number is not within its own interval.

    Examples
    --------
    >>> found = catalogue({"attacks": [{"attack": "loss", "tpr_at_fpr": [{"fpr": 0.01, "n": 3}]}]})
    >>> list(found)
    ['attacks.loss.tpr_at_fpr.0.01.n', 'attacks.any.tpr_at_fpr.0.01.n']
    """
    found: dict[str, tuple[Figure, ...]] = {}
    several: dict[str, tuple[Figure, ...]] = {}
    for root in document if roots is None else roots:
        if root in _LEFT_OUT:
            continue
        for place, figure in _walk({root: document.get(root)}, _Place()):
            found.setdefault(place.path, (figure,))
            if place.labels:
                general = ".".join(place.with_any)
                several[general] = (*several.get(general, ()), figure)
    return found | several


def _walk(node: Mapping[str, Any], place: _Place) -> Iterator[tuple[_Place, Figure]]:
    """Find the figures of a mapping and of all that it holds."""
    for key, value in node.items():
        if key in _LEFT_OUT or (key in _KEYS and not isinstance(value, Mapping)):
            continue
        inner = place.into(str(key))
        if isinstance(value, Mapping):
            yield from _walk_mapping(value, inner)
        elif isinstance(value, list):
            yield from _walk_list(value, inner)
        elif _is_number(value) and not _is_end(key, node):
            yield inner, _bare(inner, value, node.get(f"{key}_low"), node.get(f"{key}_high"))


def _walk_mapping(value: Mapping[str, Any], place: _Place) -> Iterator[tuple[_Place, Figure]]:
    if {"value", "low", "high", "level"} <= value.keys():
        yield place, _estimate(place, value)
    else:
        yield from _walk(value, place)


def _walk_list(values: list[Any], place: _Place) -> Iterator[tuple[_Place, Figure]]:
    """Find the figures of a list whose entries say what they are about; no other list holds figures."""
    for entry in values:
        key = next((key for key in _KEYS if isinstance(entry, Mapping) and key in entry), None)
        if key is not None:
            segment = f"{entry[key]:g}" if _is_number(entry[key]) else str(entry[key])
            label = f"{segment}x" if key == "copies" else segment
            yield from _walk_mapping(entry, place.into(segment, label if key in _NAMED else None))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_end(key: str, node: Mapping[str, Any]) -> bool:
    """Whether a key is the end of the band of another one."""
    base = key.removesuffix("_low").removesuffix("_high")
    return base != key and base in node


def _estimate(place: _Place, value: Mapping[str, Any]) -> Figure:
    blank = _blank(place)
    ends = [value[key] for key in ("low", "value", "high")]
    if all(end is None for end in ends):
        reason = str(value.get("undefined_reason") or "no reason is given")
        return replace(
            blank, n_members=value.get("n_members"), n_non_members=value.get("n_non_members"),
            method=str(value.get("method", "")), undefined_reason=reason,
        )  # fmt: skip
    level = value["level"]
    if not all(_is_number(end) for end in (*ends, level)) or not ends[0] <= ends[1] <= ends[2] or not 0 < level < 1:
        raise ResultError(f"{place.path}: not an estimate within its own interval")
    return replace(
        blank,
        low=float(ends[0]),
        value=float(ends[1]),
        high=float(ends[2]),
        level=float(level),
        method=str(value.get("method", "")),
        n_members=value.get("n_members"),
        n_non_members=value.get("n_non_members"),
        unseen_below=value.get("unseen_below"),
        df=value.get("df"),
        caveat=None if value.get("caveat") is None else str(value["caveat"]),
    )


def _bare(place: _Place, value: float, low: object, high: object) -> Figure:
    """Take a number as it is, with the band beside it if there is one."""
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return replace(_blank(place), value=float(value), low=float(value), high=float(value), method="no interval")
    if not low <= value <= high:
        raise ResultError(f"{place.path}: not a number within its own band")
    return replace(_blank(place), value=float(value), low=float(low), high=float(high), method="band of the prediction")


def _blank(place: _Place) -> Figure:
    """Name a figure whose numbers are still to come."""
    label = "/".join(place.labels) or None
    return Figure(
        path=place.path, label=label, description=_describe(place), unit=unit_of(place.path),
        value=None, low=None, high=None, level=None, method="",
    )  # fmt: skip


def unit_of(path: str) -> str:
    """Return the unit of a figure by its path, whether or not a document has it: ``bits``, ``members``, or none.

    Examples
    --------
    >>> unit_of("memorization.debiased_bits_per_member"), unit_of("attacks.loss.auc")
    ('bits', '')
    """
    leaf = path.rpartition(".")[2]
    if path.startswith("risk.stand_out.") or leaf in ("n_beyond_every_non_member", "n_above_bits"):
        return "members"
    is_bits = leaf.endswith(("_bits", "bits_beyond_reference", "exposure_beyond_reference"))
    return "bits" if is_bits or "bits_per" in leaf or path.startswith("secrets.mean_") else ""


def _describe(place: _Place) -> str:
    """Say a path in words; what the data or an attack named stays as it is."""
    root, *others = place.segments
    leaf = others[-1] if others else root
    words = _WORDS.get(leaf, leaf.replace("_", " "))
    if "tpr_at_fpr" in others:
        words = f"TPR at an FPR of {leaf}"
    if "n_identified" in others:
        words = f"members identified at an FPR of {leaf}"
    if "tails" in others:
        words = f"{words} of the worst share of {others[-2]} of the members"
    if place.labels:
        words = f"{words} of {'/'.join(place.labels)}"
    return words if root in (leaf, "attacks", "memorization") else f"{words} ({root.replace('_', ' ')})"


def path_patterns(kind: type[Any], roots: Iterable[str], entries: Mapping[str, str]) -> list[PathPattern]:
    """Derive from a dataclass which paths its documents may have.

    Parameters
    ----------
    kind : type
        The dataclass of the document.
    roots : iterable of str
        Its fields that are looked into.
    entries : mapping of str to str
        Regular expressions of the entries of lists by their key, such as the labels of known attacks by ``attack``.
    """
    hints = get_type_hints(kind)
    return [pattern for root in roots for pattern in _patterns(hints[root], re.escape(root), root, entries)]


def _patterns(hint: Any, regex: str, example: str, entries: Mapping[str, str]) -> Iterator[PathPattern]:
    hint = next((part for part in get_args(hint) if NoneType in get_args(hint) and part is not NoneType), hint)
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
        key = next((name for name in _KEYS if is_dataclass(hint) and name in hint.__dataclass_fields__), None)
        if key is None:
            return
        rates = key in ("fpr", "share", "copies", "temperature")
        of_numbers = rf"(?:{ANY}|{_NUMBER})" if key in _NAMED else _NUMBER
        regex += r"\." + (of_numbers if rates else entries.get(key, ".+"))
        example += "." + {"copies": "16", "temperature": "0.7"}.get(key, "0.01" if rates else ANY)
    if hint in (int, float) or (isinstance(hint, type) and issubclass(hint, Estimate)):
        yield PathPattern(regex=regex, example=example)
    elif is_dataclass(hint):
        inner = get_type_hints(hint)
        for name in (field.name for field in fields(hint)):
            if name not in _LEFT_OUT and name not in _KEYS and not _is_end(name, inner):
                yield from _patterns(inner[name], rf"{regex}\.{name}", f"{example}.{name}", entries)
    elif get_origin(hint) is Mapping:
        yield PathPattern(regex=rf"{regex}\..+", example=f"{example}.*")


def nearest_paths(path: str, known: Iterable[str]) -> list[str]:
    """Return up to three known paths that are written most alike."""
    return get_close_matches(path, list(dict.fromkeys(known)), n=3, cutoff=0.5)
