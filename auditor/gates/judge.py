"""Verdicts: every gate of a policy held against its interval, corrected for all of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from ..documents.figures import Figure, unit_of
from ..documents.gates import GateOutcome, GateReport, Outcome
from ..errors import ConfigError
from ..stats.p_values import exceedance_p_value, holm
from ..version import __version__
from .policy import Gate, Policy, Waiver, check_metric
from .subject import Judged, inversion, kind_of_path

__all__ = ["conclude", "explain_unsound", "judge", "limit_p_value", "state_outcome"]


USUAL_LEVEL = 0.95

_CHECKS_OF_MEMBERS = frozenset({"distinct_models", "tokenizer", "tokenizer_file", "precision", "split_manifest"})
_OF_MEMBERS_ALONE = frozenset(
    {
        "memorization.largest_sample_bits",
        "memorization.mean_bits_members",
        "memorization.clipped_bits_per_member",
        "memorization.clipped_total_bits",
        "memorization.bits_per_token",
        "memorization.bits_per_byte",
    }
)
_OF_NO_SAMPLES = frozenset(
    {"memorization.capacity_bits", "memorization.bits_per_parameter", "memorization.n_parameters"}
)
_SAID_APART = ("prediction.prediction.", "extraction.", "canaries.", "secrets.", "epsilon.")
STAND_OUT = "risk.stand_out.n_beyond_every_non_member"
_RETRAINED = "retrained."  # below chance is a finding there: more was erased than retraining would


@dataclass(frozen=True, slots=True)
class _Test:
    """A gate beside the figure that it is about; adjusted p-values of its lower and upper limit come later."""

    gate: Gate
    figure: Figure
    several: bool


def judge(policy: Policy, judged: Judged, *, today: date, warn_only: bool = False) -> GateReport:
    """Hold a document against a policy.

    Parameters
    ----------
    policy : Policy
    judged : Judged
    today : date
        The day on which waivers are read.
    warn_only : bool
        Report everything as it is, but with exit code 0.

    Raises
    ------
    ConfigError
        If a gate names a figure that no document has, or no gate is about this kind of document.

    Notes
    -----
    A gate passes if its whole interval lies within the limits. That needs no correction for several gates: a policy
    passes only if every gate does, and whatever the one limit that is truly broken, its own gate passes with a
    probability of at most ``(1 - level) / 2`` (an intersection-union test, [1]_). Failing does need one: a policy
    fails if any gate does, and of forty gates on models that leak nothing one would fail by chance in most runs. A
    gate therefore fails if its interval lies beyond the limit and its p-value, adjusted for every limit of the policy
    by Holm's method, is at most ``(1 - level) / 2`` too; then the chance that any gate fails whose figure is within
    its limits is at most that. ``correction = "none"`` leaves the adjustment out. Waived gates count, so that a waiver
    makes no other gate stricter or milder. Figures without an interval are compared as they are, and not counted.

    References
    ----------
    .. [1] Berger, *Multiparameter hypothesis testing and acceptance sampling*, Technometrics 24, 1982.
    """
    tests, elsewhere = _tests(policy, judged)
    raw = [_p_values(test, judged) for test in tests]
    flat = [p for pair in raw for p in pair]
    adjusted = holm(flat) if policy.correction == "holm" else flat
    outcomes = tuple(
        _outcome(test, policy, judged, today, raw[i], (adjusted[2 * i], adjusted[2 * i + 1]))
        for i, test in enumerate(tests)
    )
    return conclude(
        policy,
        judged,
        outcomes,
        correction=_said_correction(policy, judged, tests, flat),
        notes=(*_unguarded(policy, judged), *_low_level(tests)),
        elsewhere=elsewhere,
        today=today,
        warn_only=warn_only,
    )


def conclude(
    policy: Policy,
    judged: Judged,
    outcomes: Sequence[GateOutcome],
    *,
    correction: str,
    notes: Sequence[str],
    elsewhere: Sequence[str],
    today: date,
    warn_only: bool,
) -> GateReport:
    """Say what follows from the outcomes of all gates; see `judge`.

    Parameters
    ----------
    elsewhere : sequence of str
        Names of the gates that are about another kind of document.
    correction : str
        How several gates were corrected for, in a sentence.
    notes : sequence of str
        Said after those on waivers.
    """
    stopped = any(outcome.stops for outcome in outcomes)
    return GateReport(
        auditor_version=__version__,
        result=judged.path,
        result_sha256=judged.sha256,
        kind=judged.kind,
        subject=judged.subject,
        policy=policy.source,
        policy_sha256=policy.sha256,
        soundness=judged.soundness,
        correction=correction,
        passed=not stopped,
        exit_code=1 if stopped and not warn_only else 0,
        warn_only=warn_only,
        gates=tuple(outcomes),
        notes=(*_waiver_notes(policy, today), *notes),
        doubts=judged.doubts,
        elsewhere=tuple(elsewhere),
        checksums=judged.checksums,
        let_through=policy.let_through,
    )


def limit_p_value(figure: Figure, limit: float, *, above: bool) -> float | None:
    """One-sided p-value of a figure being within a limit, from its interval; None without one.

    ``above`` says whether to lie above the limit is to break it; see `exceedance_p_value`.
    """
    if figure.level is None or figure.value is None or figure.low is None or figure.high is None:
        return None
    return exceedance_p_value(
        figure.value, figure.low, figure.high, limit=limit, above=above, level=figure.level, df=figure.df
    )


def _tests(policy: Policy, judged: Judged) -> tuple[list[_Test], list[str]]:
    """Find the figures of every gate; name the gates that are about another kind of document."""
    tests: list[_Test] = []
    elsewhere: list[str] = []
    for gate in policy.gates:
        check_metric(gate, judged.figures, source=policy.source)
        found = judged.figures.get(gate.metric, ())
        several = ".any." in gate.metric
        if found:
            tests += [_Test(gate, figure, several and figure.label is not None) for figure in found]
        elif _is_about(gate, judged):
            tests.append(_Test(gate, _not_there(gate, judged), False))
        else:
            elsewhere.append(gate.name)
    if not tests:
        subject = "an audit" if judged.kind == "audit" else f"a {judged.kind}"
        subject = f"{subject} of {judged.part} alone" if judged.part else subject
        raise ConfigError(f"policy {policy.source}: no gate is about {subject}, so there is nothing to judge")
    return tests, elsewhere


def _is_about(gate: Gate, judged: Judged) -> bool:
    """Whether a document of this kind may have the figure of a gate; an audit may be given a baseline."""
    if judged.part is not None:
        return gate.metric.startswith(f"{judged.part}.")
    kind = kind_of_path(gate.metric)
    return kind == judged.kind or (kind == "comparison" and judged.kind == "audit")


def _not_there(gate: Gate, judged: Judged) -> Figure:
    """Stand in for a figure that this document could have and does not."""
    part, inner = gate.metric.split(".")[0], ".".join(gate.metric.split(".")[:2])
    reason = judged.missing.get(inner) or judged.missing.get(part, f"not measured in this {judged.kind}")
    if part not in judged.missing and ".tpr_at_fpr." in gate.metric:
        reason = f"not measured at this rate in this {judged.kind} (--fpr)"
    return Figure(
        path=gate.metric, label=None, description=gate.metric, unit=unit_of(gate.metric), value=None, low=None,
        high=None, level=None, method="", undefined_reason=reason,
    )  # fmt: skip


def _refusal(path: str, judged: Judged) -> str | None:
    """Say why nothing may be concluded from a figure: the audit is not sound enough for it, or inverted."""
    if path.startswith("change."):
        named = ", ".join(judged.change_vetoes)
        return f"nothing may be concluded from this comparison: {named}" if named else None
    if judged.kind != "audit" or judged.part is not None or path in _OF_NO_SAMPLES or _is_apart(path):
        return None
    if judged.soundness is None:
        return "the audit holds no soundness checks, so its figures may not be judged"
    if vetoes := _vetoes(path, judged):
        return explain_unsound(vetoes)
    return None if path.startswith(_RETRAINED) else inversion(judged)  # with sides swapped, members are others, too


def _is_apart(path: str) -> bool:
    """Whether a figure stands whatever the checks say: what is written token for token, or ranked, needs no sides."""
    return path.startswith(_SAID_APART) and not path.endswith("_beyond")


def explain_unsound(vetoes: Sequence[str]) -> str:
    """Say which checks refuse a verdict."""
    return f"the audit is not sound: {', '.join(vetoes)}"


def _vetoes(path: str, judged: Judged) -> tuple[str, ...]:
    """Name the soundness checks of an audit that refuse a figure a verdict."""
    if judged.kind != "audit" or path in _OF_NO_SAMPLES or _is_apart(path) or path.startswith("change."):
        return ()
    if path in _OF_MEMBERS_ALONE:  # against the reference: non-members do not matter; the models do, and who is one
        return tuple(name for name in judged.vetoes if name in _CHECKS_OF_MEMBERS)
    return judged.vetoes or (("soundness",) if judged.soundness == "veto" else ())


def _p_values(test: _Test, judged: Judged) -> tuple[float | None, float | None]:
    """P-values of breaking the lower and the upper limit; None where there is no limit, no interval or no verdict."""
    gate, figure = test.gate, test.figure
    if _refusal(figure.path, judged) is not None:
        return None, None
    below = None if gate.min is None else limit_p_value(figure, gate.min, above=False)
    above = None if gate.max is None else limit_p_value(figure, gate.max, above=True)
    return below, above


def _outcome(
    test: _Test,
    policy: Policy,
    judged: Judged,
    today: date,
    raw: tuple[float | None, float | None],
    adjusted: tuple[float | None, float | None],
) -> GateOutcome:
    outcome, reason = _decide(test, judged, adjusted)
    return state_outcome(
        test.gate,
        test.figure,
        outcome,
        reason,
        policy=policy,
        today=today,
        several=test.several,
        p_value=_least(raw),
        p_value_adjusted=_least(adjusted) if policy.correction == "holm" else None,
        vetoes=_vetoes(test.figure.path, judged),
    )


def state_outcome(
    gate: Gate,
    figure: Figure,
    outcome: Outcome,
    reason: str,
    *,
    policy: Policy,
    today: date,
    several: bool,
    p_value: float | None,
    p_value_adjusted: float | None,
    vetoes: Sequence[str] = (),
) -> GateOutcome:
    """Write down what became of a gate, with what the policy makes of that.

    Many parameters: what a gate's line in the document is made of.

    Parameters
    ----------
    several : bool
        Whether the gate is about several figures, of which this is one.
    """
    waiver = _waiver_of(gate, policy.waivers, today)
    return GateOutcome(
        gate=f"{gate.name}/{figure.label}" if several else gate.name,
        metric=figure.path if several else gate.metric,
        description=gate.description or figure.description,
        least=gate.min,
        most=gate.max,
        value=figure.value,
        low=figure.low,
        high=figure.high,
        level=figure.level,
        unit=figure.unit,
        n_members=figure.n_members,
        n_non_members=figure.n_non_members,
        method=figure.method,
        outcome=outcome,
        p_value=p_value,
        p_value_holm=p_value_adjusted,
        stops=outcome not in ("pass", *policy.let_through) and waiver is None,
        reason=reason,
        waived_by=waiver.reason if waiver else None,
        waived_until=waiver.expires.isoformat() if waiver else None,
        sample_ids=tuple(name for name, value in figure.sample_ids if gate.max is not None and value > gate.max),
        vetoes=tuple(vetoes),
        unseen_below=figure.unseen_below,
        caveat=figure.caveat,
        policy_line=policy.lines.get(gate.name),
    )


def _least(p_values: Iterable[float | None]) -> float | None:
    return min((p for p in p_values if p is not None), default=None)


def _decide(test: _Test, judged: Judged, adjusted: tuple[float | None, float | None]) -> tuple[Outcome, str]:
    """Compare the interval of a figure with the limits of its gate."""
    gate, figure = test.gate, test.figure
    refusal = _refusal(figure.path, judged)
    if refusal is not None:
        return "refused", refusal
    if figure.value is None or figure.low is None or figure.high is None:
        return "inconclusive", figure.undefined_reason or "the figure is not defined"
    what, remedy = "the whole interval", "more texts would make it narrower"
    if figure.level is None:
        what = "the figure" if figure.low == figure.high else "the whole band"
        remedy = "it is a band of predictions, an audit after training decides"
    if gate.max is not None and figure.ceiling is not None and figure.ceiling <= gate.max:
        return "inconclusive", (
            f"at most {figure.ceiling:.4g} can be shown here, so that nothing could break the limit of {gate.max:g}: "
            "audit with more canaries, coins or fills, or set the limit lower"
        )
    if (gate.min is None or figure.low >= gate.min) and (gate.max is None or figure.high <= gate.max):
        return "pass", f"{what} is within the limit"
    sides = (
        ("below", gate.min is not None and figure.high < gate.min, adjusted[0]),
        ("above", gate.max is not None and figure.low > gate.max, adjusted[1]),
    )
    for side, is_beyond, p in sides:
        if is_beyond and (figure.level is None or p is None or p <= (1 - figure.level) / 2):
            return "fail", f"{what} is {side} the limit"
        if is_beyond:
            return "inconclusive", f"{what} is {side} the limit, but with so many gates that may be chance"
    limits = "a limit" if gate.min is not None and gate.max is not None else "the limit"
    return "inconclusive", f"{what.replace('whole ', '')} holds {limits}; {remedy}"


def _waiver_of(gate: Gate, waivers: Sequence[Waiver], today: date) -> Waiver | None:
    """Return the waiver of a gate that holds longest, if any has not expired."""
    valid = [waiver for waiver in waivers if waiver.covers(gate.name, today)]
    return max(valid, key=lambda waiver: waiver.expires, default=None)


def _waiver_notes(policy: Policy, today: date) -> list[str]:
    """Say which waivers are over or match nothing."""
    names = {gate.name for gate in policy.gates}
    matched = [waiver for waiver in policy.waivers if waiver.gate in names]
    expired = [
        f"EXPIRED: the waiver of {waiver.gate!r} ended on {waiver.expires} ({waiver.reason})"
        for waiver in matched
        if today > waiver.expires
    ]
    return expired + [
        f"the waiver of {waiver.gate!r} matches no gate of the policy"
        for waiver in policy.waivers
        if waiver.gate not in names
    ]


def _unguarded(policy: Policy, judged: Judged) -> list[str]:
    """Say how many members stand out where no gate is about them: limits on averages let them through."""
    (count,) = judged.figures.get(STAND_OUT, (None,))[:1]
    if judged.kind != "audit" or count is None or count.value is None or not count.low:
        return []
    if _refusal(STAND_OUT, judged) is not None or any(unit_of(gate.metric) == "members" for gate in policy.gates):
        return []
    chance = count.value - count.low
    by_chance = f" (chance explains at most {chance:,.0f})" if chance else ""
    return [
        f"{count.value:,.0f} of {count.n_members:,} members stand out beyond every non-member{by_chance}, and no gate "
        f"limits how many may: averages hide them ({STAND_OUT})"
    ]


def _low_level(tests: Sequence[_Test]) -> list[str]:
    """Say if intervals are of a lower level than readers expect."""
    least = min((test.figure.level for test in tests if test.figure.level is not None), default=USUAL_LEVEL)
    if least >= USUAL_LEVEL:
        return []
    return [f"intervals are of {100 * least:g}%, not the usual 95%: gates pass and fail more easily"]


def _said_correction(policy: Policy, judged: Judged, tests: Sequence[_Test], p_values: Sequence[float | None]) -> str:
    n_limits = sum(p is not None for p in p_values)
    if all(test.figure.value is None or _refusal(test.figure.path, judged) is not None for test in tests):
        return "none: no gate could be judged"
    if policy.correction == "none":
        return "none: each gate fails by chance as often as its interval misses"
    if not n_limits:
        return "none needed: no figure that could be judged has a confidence interval that could miss"
    allowed = sorted({f"{(1 - test.figure.level) / 2:.6g}" for test in tests if test.figure.level is not None})
    limits = "1 limit" if n_limits == 1 else f"{n_limits} limits"
    return f"Holm over {limits}: to fail, a gate also needs an adjusted p-value of at most {' or '.join(allowed)}"
