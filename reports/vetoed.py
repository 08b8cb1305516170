"""A vetoed audit in one sentence and one action: what came first of all that forbids a verdict, and what mends it."""

from typing import NamedTuple

from auditor.documents.result import AuditResult, CheckResult

from .numbers import plural
from .soundness import as_sentence, spoken, trust

__all__ = ["Veto", "veto"]


class Veto(NamedTuple):
    """Why there is no verdict, and what to do; ``others`` are the further checks that forbid one."""

    sentence: str
    action: str
    others: tuple[str, ...]

    @property
    def folded(self) -> str:
        """Head what is folded away: checks and figures, and how many further checks forbid a verdict."""
        n = len(self.others)
        more = f"; {plural(n, 'further check')} {'forbids' if n == 1 else 'forbid'} a verdict, too" if n else ""
        return f"Checks and figures, for diagnosis only{more}"


_SPLIT = "Draw both sides at random from one pool (`auditor split`) and audit again."

_CAUSES: dict[str, tuple[str, str]] = {
    "distinct_models": (
        "The reference is the target itself, so nothing can be concluded: no bits can lie between the two",
        "Take a reference that did not train on the members (--reference) and audit again.",
    ),
    "tokenizer": (
        "The models do not read the same characters, so nothing can be concluded from their bits",
        "Take models whose tokenizers can write these texts, or leave those texts out, and audit again.",
    ),
    "tokenizer_file": (
        "A tokenizer reads the texts otherwise than its own file says, so nothing can be concluded from what it scored",
        "",
    ),
    "split_manifest": (
        "These files are not those of the split's manifest, so nothing can be concluded about members",
        "Audit the files that `auditor split` wrote, each as the side it is.",
    ),
    "overlap": ("The same texts stand on both sides, so nothing can be concluded: neither side is unseen", ""),
    "near_duplicates": (
        "Nearly the same texts stand on both sides, so nothing can be concluded: the non-members are not unseen",
        "",
    ),
    "ngram_overlap": (
        "Non-members are made of the members' own passages, so nothing can be concluded: they are not unseen",
        "",
    ),
    "blind_baseline": (
        "These two files differ in kind, so nothing can be concluded: texts alone tell them apart{figure}, without any "
        "model",
        _SPLIT,
    ),
    "length": (
        "These two files differ in the length of their texts, so nothing can be concluded: length alone tells them "
        "apart{figure}",
        _SPLIT,
    ),
    "reference_alone": (
        "The two sides differ without the target, so nothing can be concluded: the reference alone tells them apart"
        "{figure}",
        "Draw both sides from one pool (`auditor split`), take a reference that saw neither, and audit again.",
    ),
    "sample_size": (
        "There are too few texts, so nothing can be concluded",
        "Give more texts of each side, better several hundred, and audit again.",
    ),
}
"""By check, the root of a fault before what follows from it: why nothing can be concluded, and what mends it."""


def veto(result: AuditResult) -> Veto | None:
    """Tell a vetoed audit in one sentence and one action; None if no check forbids a verdict.

    Of several checks that forbid one, that is told which comes first in their order of cause.
    """
    found = {check.name: check for check in trust(result).checks if check.verdict == "veto"}
    if not found:
        return None
    first = next((found[name] for name in _CAUSES if name in found), next(iter(found.values())))
    others = tuple(spoken(name) for name in found if name != first.name)
    why, action = _CAUSES.get(first.name, ("", ""))
    said = why.format(figure=_figure(first)) if why else f"Nothing can be concluded: {first.detail.removesuffix('.')}"
    fallback = as_sentence(first.remedy) if first.remedy else "Repair the inputs and audit again."
    return Veto(f"{said}.", action or fallback, others)


def _figure(check: CheckResult) -> str:
    return f" (AUC {check.figure:.3f})" if check.figure is not None and check.unit == "AUC" else ""
