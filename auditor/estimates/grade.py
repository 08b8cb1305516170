"""Grade of the signal: the worse of what holds of the average member and of those who stand out."""

from ..documents.estimate import Estimate
from ..documents.result import GRADES, AttackResult, Grade, GradeResult, RiskResult, SoundnessResult

__all__ = ["grade_of_auc", "grade_signal", "surest_count"]

_STRENGTHS: tuple[tuple[float, Grade], ...] = (
    (0.97, "near-perfect"), (0.8, "strong"), (0.65, "moderate"), (0.0, "weak")
)  # fmt: skip
MANY = 10
"""Members who stand out for sure from which on a signal is strong, however many others give nothing away."""


def grade_signal(
    headline: AttackResult | None, risk: RiskResult | None, *, soundness: SoundnessResult | None
) -> GradeResult | None:
    """Grade a signal by the worse of its average and its tail.

    Parameters
    ----------
    headline : AttackResult or None
        The attack that was declared.
    risk : RiskResult or None
    soundness : SoundnessResult or None

    Returns
    -------
    GradeResult or None
        None if a check forbids a verdict.

    Notes
    -----
    An AUC is a mean over pairs: of 5,000 members 300 may be memorized, many of them recognised for certain, and the
    AUC be .53. So two low ends are looked at: that of the AUC, and of the number of members who stand out from all
    non-members beyond what chance explains (`n_beyond`), by the headline attack or by their bits. Each is above the
    truth with a probability of at most ``(1 - level) / 2``. One such member is a moderate signal, ten are a strong one
    and half of all members a near-perfect one.
    """
    if soundness is not None and soundness.verdict == "veto":
        return None
    average = None if headline is None else _of_average(headline)
    tail = _of_tail(surest_count(risk))
    known = [grade for grade in (average, tail) if grade is not None]
    return GradeResult(average=average, tail=tail, overall=max(known, key=GRADES.index, default=None))


def grade_of_auc(auc: float) -> Grade:
    """Name the strength of a signal by its AUC, or by an end of its interval.

    Examples
    --------
    >>> grade_of_auc(0.64), grade_of_auc(0.8)
    ('weak', 'strong')
    """
    return next(word for least, word in _STRENGTHS if auc >= least)


def surest_count(risk: RiskResult | None) -> Estimate | None:
    """Of the counts of members who stand out, find that of which most are no chance; None if none was counted."""
    found = None if risk is None else risk.stand_out
    if found is None:
        return None
    counts = [one for one in (found.n_beyond_every_non_member, found.n_above_bits) if one is not None]
    known = [one for one in counts if one.low is not None and one.n_non_members]
    return max(known, key=lambda one: one.low or 0.0, default=None)


def _of_average(attack: AttackResult) -> Grade | None:
    auc = attack.auc
    if auc.low is None or auc.high is None or attack.inverted:
        return None
    return "none" if auc.low <= 0.5 else grade_of_auc(auc.low)


def _of_tail(count: Estimate | None) -> Grade | None:
    if count is None or count.low is None:
        return None
    if count.low < 1:
        return "none"
    if count.low < MANY:
        return "moderate"
    return "near-perfect" if count.low >= count.n_members / 2 else "strong"
