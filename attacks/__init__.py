"""Membership-inference attacks: one file each, numpy only, importing nothing else of ours.

The registry is a literal: adding an attack is a file, a word here and a hand-computed test. Attacks of other
packages register under the entry-point group ``auditor.attacks`` and may not take a built-in name.
"""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from importlib.metadata import entry_points

from .base import AFTER_SHOTS, LOWERCASE, Attack, ComparingAttack, Continuations, Need, Signals, TokenScores
from .con_recall import ConRecall
from .dc_pdd import DCPDD
from .ez import EZ
from .gradient_norm import GradientNorm
from .informia import InfoRMIA
from .lira import LiRA, LiRAOffline
from .loss import Loss
from .lowercase import Lowercase
from .max_renyi import MaxRenyi
from .min_k import MinK
from .min_k_plus_plus import MinKPlusPlus
from .neighbourhood import Neighbourhood, NeighbourhoodSwap
from .pac import PAC
from .recall import Recall
from .reference import Reference
from .rmia import RMIA
from .samia import SaMIA
from .surp import SURP
from .wbc import WBC
from .zlib_ratio import Zlib

__all__ = [
    "AFTER_SHOTS",
    "BUILTIN",
    "DCPDD",
    "EZ",
    "LOWERCASE",
    "PAC",
    "RMIA",
    "SURP",
    "WBC",
    "Attack",
    "ComparingAttack",
    "ConRecall",
    "Continuations",
    "GradientNorm",
    "InfoRMIA",
    "LiRA",
    "LiRAOffline",
    "Loss",
    "Lowercase",
    "MaxRenyi",
    "MinK",
    "MinKPlusPlus",
    "Need",
    "Neighbourhood",
    "NeighbourhoodSwap",
    "Recall",
    "Reference",
    "SaMIA",
    "Signals",
    "TokenScores",
    "Zlib",
    "get_attack",
]

BUILTIN: dict[str, type[Attack]] = {
    attack.name: attack
    for attack in (
        Loss,
        Reference,
        Zlib,
        Lowercase,
        MinK,
        MinKPlusPlus,
        Recall,
        ConRecall,
        Neighbourhood,
        NeighbourhoodSwap,
        SURP,
        PAC,
        EZ,
        WBC,
        MaxRenyi,
        DCPDD,
        GradientNorm,
        SaMIA,
        LiRA,
        LiRAOffline,
        RMIA,
        InfoRMIA,
    )
}


def get_attack(
    name: str, params: Mapping[str, object] | None = None, *, own: Mapping[str, type[Attack]] | None = None
) -> Attack:
    """Build an attack by name: a built-in one, one of ``own``, or one that an installed package registers.

    Raises
    ------
    LookupError
        If no attack has this name; the message lists close ones.
    ValueError
        If a parameter is unknown or out of range.
    """
    known = {**(own or {}), **BUILTIN}
    attack = known.get(name) or _from_entry_points(name)
    if attack is None:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise LookupError(f"no attack {name!r}; {hint}there are: {', '.join([*BUILTIN, *(own or {})])}")
    try:
        return attack(**(params or {}))
    except TypeError:
        allowed = ", ".join(field.name for field in fields(attack)) or "none"
        given = ", ".join(params or {})
        raise ValueError(f"attack {name!r} was given the parameters {given}; it takes: {allowed}") from None


def _from_entry_points(name: str) -> type[Attack] | None:
    """Look for an attack that another installed package registers."""
    for entry in entry_points(group="auditor.attacks", name=name):
        loaded = entry.load()
        if not (isinstance(loaded, type) and issubclass(loaded, Attack)):
            raise ValueError(f"{entry.value}, registered as attack {name!r}, is not an attacks.base.Attack")
        return loaded
    return None
