"""The verdict of gates: the frozen document of a policy applied to a result. The order of the fields is the format."""

import math
from collections.abc import Iterator
from typing import Literal

from .checksums import Checksums
from .files import document

__all__ = ["GATES_VERSION", "EarlyStop", "GateOutcome", "GateReport", "Outcome", "Tolerable"]

GATES_VERSION = "1.4"

Outcome = Literal["pass", "fail", "inconclusive", "refused"]
Tolerable = Literal["inconclusive", "refused"]


@document
class GateOutcome:
    """One gate: a limit, what was measured, and what follows.

    A figure without an interval (a count, a largest sample) has equal ends and no level. Of an audit that stopped when
    it was decided, p-values are valid at all looks at once, adjusted by Bonferroni's method, and given for an AUC only.
    """

    gate: str
    """Name of the gate; for a metric of several attacks the attack after a slash."""
    metric: str
    """Path of the figure in the result, such as ``attacks.reference.auc``."""
    description: str
    """The metric in words."""
    least: float | None
    """Smallest allowed value; null without one."""
    most: float | None
    """Largest allowed value; null without one."""
    value: float | None
    """Value of the figure; null if undefined."""
    low: float | None
    """Lower end of its interval; null if undefined, the value itself for a figure without an interval."""
    high: float | None
    """Upper end of its interval; null if undefined, the value itself for a figure without an interval."""
    level: float | None
    """Confidence level of the interval; null without one."""
    unit: str
    """Unit of the figure; empty for a share or a count."""
    n_members: int | None
    """Number of members behind the figure; null if it has none."""
    n_non_members: int | None
    """Number of non-members behind the figure; null if it has none."""
    method: str
    """How the interval was made."""
    outcome: Outcome
    """pass: interval within the limits; fail: beyond one after correction; inconclusive: neither; refused: unsound."""
    p_value: float | None
    """One-sided p-value of the figure being within the limits; null if undefined."""
    p_value_holm: float | None
    """The p-value adjusted for all gates of the policy; null if undefined."""
    stops: bool
    """Whether this outcome fails the run, given the policy and its waivers."""
    reason: str
    """Why, in one sentence."""
    waived_by: str | None = None
    """Reason of the waiver that covers the gate; null without one that has not expired."""
    waived_until: str | None = None
    """Last day of that waiver, ISO; null without one."""
    sample_ids: tuple[str, ...] = ()
    """Samples to look at, the worst first, where the metric is of single samples."""
    vetoes: tuple[str, ...] = ()
    """Soundness checks that refuse the gate a verdict, by name."""
    unseen_below: float | None = None
    """Of a mean of bits: share of the samples below which those that hold bits may all have been missed; else null."""
    caveat: str | None = None
    """Of which values the interval may hold less often than its level says; null if of none that was simulated."""
    policy_line: int | None = None
    """Line of the policy that names the gate, from 1; null if it is not known."""

    def contradictions(self) -> Iterator[str]:
        """Say how figure, limits and outcome disagree."""
        least, most = (-math.inf if self.least is None else self.least), (math.inf if self.most is None else self.most)
        ends = [end for end in (self.low, self.value, self.high) if end is not None]
        if self.least is None and self.most is None:
            yield "it has no limit"
        elif least > most:
            yield f"its limits allow nothing: at least {least:g} and at most {most:g}"
        if len(ends) not in (0, 3) or ends != sorted(ends):
            yield "its figure does not lie in its own interval"
        elif self.outcome == "pass" and not (ends and least <= ends[0] and ends[-1] <= most):
            yield "it passed, and its interval is not within its limits"
        elif self.outcome == "fail" and not (ends and (ends[-1] < least or ends[0] > most)):
            yield "it failed, and its interval is not beyond a limit"
        if self.level is not None and not 0 < self.level < 1:
            yield f"its interval is of level {self.level:g}"
        if self.vetoes and self.outcome != "refused":
            yield f"soundness checks refuse it a verdict, and its outcome is {self.outcome}"
        if (self.waived_by is None) != (self.waived_until is None):
            yield "a waiver has a reason and a last day, or neither"


@document
class EarlyStop:
    """What an audit scored that stopped as soon as every gate was decided: part of the texts, in random order."""

    n_texts_scored: int
    """Number of texts that the target was run on."""
    n_texts: int
    """Number of texts that it could have been run on: one of each group."""
    n_texts_left_out: int
    """Number of the other texts of the groups."""
    n_tokens_scored: int
    """Number of tokens that the target was run on now, over all views of the texts."""
    seed: int
    """Seed of the order."""
    headline: str
    """Attack declared before looking."""
    members_sha256: str
    """SHA-256 of all texts of the members."""
    non_members_sha256: str
    """SHA-256 of all texts of the non-members."""


@document
class GateReport:
    """All gates of a policy on one document, as ``auditor gate --json`` prints it."""

    schema_version: str = GATES_VERSION
    """Version of this document's schema, MAJOR.MINOR."""
    auditor_version: str
    """Version of the auditor that wrote the document."""
    result: str
    """Path of the document that was judged; of an audit that stopped early, the target."""
    result_sha256: str
    """SHA-256 of its bytes; of an audit that stopped early, of the target's weights."""
    kind: Literal["audit", "prediction", "comparison"]
    """What kind of document it is."""
    subject: str
    """The model, in a word for people."""
    policy: str
    """Path of the policy, or built-in."""
    policy_sha256: str
    """SHA-256 of the policy's text."""
    soundness: Literal["pass", "warn", "veto"] | None
    """Worst verdict of the audit's soundness checks; null for documents that have none."""
    correction: str
    """How several gates are corrected for, in a sentence."""
    passed: bool
    """Whether nothing stops the run."""
    exit_code: Literal[0, 1]
    """Exit code of the command: 1 if something stops the run, unless only warned of."""
    warn_only: bool
    """Whether the exit code is 0 whatever the verdict."""
    gates: tuple[GateOutcome, ...]
    """Outcome of every gate, in the order of the policy."""
    notes: tuple[str, ...] = ()
    """Waivers that have expired or match nothing, and the like."""
    doubts: tuple[str, ...] = ()
    """Soundness checks that warn, and what makes a comparison doubtful, by name."""
    elsewhere: tuple[str, ...] = ()
    """Gates that are about another kind of document and were not judged, by name."""
    early_stop: EarlyStop | None = None
    """What was scored, if scoring stopped as soon as every gate was decided; else null."""
    checksums: Checksums | None = None
    """matched: checksums.json beside the audit, and its baseline, agreed; absent: one came without; null: has none."""
    let_through: tuple[Tolerable, ...] = ()
    """Outcomes besides pass that stop nothing, as the policy says."""

    def contradictions(self) -> Iterator[str]:
        """Say how the verdict disagrees with what its gates say."""
        if not self.gates:
            yield "it holds no gate, so nothing was judged"
        for one in self.gates:
            name = f"gate {one.gate[:80]!a}"
            yield from (f"{name}: {said}" for said in one.contradictions())
            excused = one.waived_by is not None or one.outcome in self.let_through
            if one.stops != (one.outcome != "pass" and not excused):
                why = "its waiver or the policy lets it through" if excused else "nothing lets it through"
                why = "a pass stops nothing" if one.outcome == "pass" else why
                yield f"{name}: its outcome is {one.outcome}, stops is {_said(one.stops)}, and {why}"
            if one.vetoes and self.soundness != "veto":
                yield f"{name}: soundness checks refuse it, and soundness is {self.soundness or 'null'}"
        n_stopping = sum(one.stops for one in self.gates)
        if self.passed != (n_stopping == 0):
            yield f"passed is {_said(self.passed)}, and {n_stopping} of its {len(self.gates)} gates stop the run"
        if self.exit_code != (0 if self.passed or self.warn_only else 1):
            yield (
                f"exit_code is {self.exit_code}, passed is {_said(self.passed)} and warn_only {_said(self.warn_only)}"
            )
        if self.early_stop is not None and self.kind != "audit":
            yield f"it is about a {self.kind}, which cannot stop early"


def _said(flag: bool) -> str:
    return "true" if flag else "false"
