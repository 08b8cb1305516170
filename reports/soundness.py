"""Soundness in words: the checks, with what to do about those that did not pass."""

from dataclasses import dataclass

from auditor.documents.result import AuditResult, CheckResult

from .escaping import ID, visible
from .numbers import count, number, percent, plain, plural
from .tones import TONES, Tone

__all__ = [
    "Trust",
    "as_sentence",
    "check_figure",
    "drop_action",
    "drop_line",
    "is_vetoed",
    "looks_differ",
    "spoken",
    "trust",
    "unseen_shift",
]

_IDS = 5

_NAMES = {
    "near_duplicates": "near-duplicates across the sides",
    "near_duplicates_within": "near-duplicates within a side",
    "ngram_overlap": "passages on both sides",
    "overlap": "repeated texts",
    "reference_alone": "reference alone",
    "sample_size": "number of texts",
    "split_manifest": "manifest of the split",
    "distinct_models": "target and reference differ",
    "tokenizer_file": "tokenizer as its file says",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """May the numbers be believed? The answer, and the checks behind it, worst first."""

    tone: Tone
    answer: str
    checks: tuple[CheckResult, ...]
    names: tuple[str, ...] = ()

    @property
    def answer_with_names(self) -> str:
        """The answer, naming the checks that decided it."""
        return f"{self.answer.removesuffix('.')} ({', '.join(self.names)})." if self.names else self.answer

    @property
    def remarkable(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.verdict != "pass")

    @property
    def passed(self) -> tuple[CheckResult, ...]:
        """The checks that passed."""
        return tuple(check for check in self.checks if check.verdict == "pass")


def trust(result: AuditResult) -> Trust:
    """Answer whether the numbers can be trusted."""
    soundness = result.soundness
    if soundness is None or not soundness.checks:
        return Trust(tone="warn", answer="Unknown: no soundness check was run.", checks=())
    rank = {"veto": 0, "warn": 1, "pass": 2}
    checks = tuple(sorted(soundness.checks, key=lambda check: rank[check.verdict]))
    names = tuple(spoken(check.name) for check in checks if check.verdict == soundness.verdict != "pass")
    n, many = plural(len(checks), "check"), len(names) != 1
    if soundness.verdict == "veto":
        answer = f"No: {len(names)} of {n} {'forbid' if many else 'forbids'} a verdict."
    elif soundness.verdict == "warn":
        answer = f"With caution: {len(names)} of {n} {'warn' if many else 'warns'}."
    else:
        answer = f"Yes, as far as was checked: {'all ' if len(checks) > 1 else ''}{n} passed."
    return Trust(tone=TONES[soundness.verdict], answer=answer, checks=checks, names=names)


def is_vetoed(result: AuditResult) -> bool:
    """Whether a check forbids a verdict: every figure is then for diagnosis only."""
    return result.soundness is not None and result.soundness.verdict == "veto"


def looks_differ(result: AuditResult) -> bool:
    """Whether the texts alone, without the target, tell the sides apart: the blind check did not pass."""
    return any(check.name == "blind_baseline" for check in trust(result).remarkable)


def unseen_shift(result: AuditResult) -> str:
    """Say which share of foreign texts a passed blind baseline could have missed; empty if it did not pass."""
    blind = next((check for check in trust(result).passed if check.name == "blind_baseline"), None)
    if blind is None or blind.detectable_share is None:
        return ""
    share = f"{100 * blind.detectable_share:.0f}%"
    return f"Fewer than {share} of foreign texts on a side could have gone unseen (blind baseline)."


def spoken(name: str) -> str:
    """Name a check for people.

    Examples
    --------
    >>> spoken("sample_size"), spoken("negative_control")
    ('number of texts', 'negative control')
    """
    return _NAMES.get(name) or name.replace("_", " ")


def as_sentence(remedy: str) -> str:
    """Write a remedy, which may follow a colon elsewhere, as a sentence of its own."""
    return remedy[:1].upper() + remedy[1:].rstrip(".") + "."


def check_figure(check: CheckResult) -> str:
    """Write the figure of a check with its unit."""
    if check.figure is None:
        return "—"
    if check.unit == "AUC":
        return f"AUC {number(check.figure, 3)}"
    if check.unit.startswith("share of "):
        return f"{percent(float(plain(check.figure)))} {check.unit.removeprefix('share ')}"
    if check.figure == 0 and check.unit:
        return "none"
    return f"{plain(check.figure)} {check.unit}".strip()


def drop_line(check: CheckResult, *, name_them: bool = True) -> str:
    """Say which samples to leave out and how: at most five ids, the rest counted; empty if dropping none would help."""
    ids = check.sample_ids
    if not ids:
        return ""
    if not name_them:
        return f"{_listed(len(ids))}: {_AGAIN}."
    named = ", ".join(visible(one, ID) for one in ids[:_IDS])
    rest = f" and {count(len(ids) - _IDS)} more" if len(ids) > _IDS else ""
    return f"{_listed(len(ids))} ({named}{rest}): {_AGAIN}."


def drop_action(result: AuditResult) -> str:
    """Say what to run again without the samples that checks listed; empty if they listed none."""
    ids = {one for check in trust(result).remarkable for one in check.sample_ids}
    return f"{_listed(len(ids))}: {_AGAIN}, and check that the rest passes." if ids else ""


_AGAIN = "run again with --drop-ids and that file"


def _listed(n: int) -> str:
    return f"{plural(n, 'sample')} listed in drop-ids.txt, beside this report"
