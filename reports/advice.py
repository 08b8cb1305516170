"""Advice on an audit: what to do, what it does not show, and what its words mean; the same in every format."""

from auditor.documents.result import AuditResult

from . import prediction, retrained
from .soundness import as_sentence, drop_action, trust
from .verdict import VerdictWords, verdict

__all__ = ["CONFIDENTIAL", "GLOSSARY", "TEXTS_AS_SCORED", "actions", "limits"]

CONFIDENTIAL = (
    "The folder scores/ holds statistics of every token from which, with the model, the texts can be reconstructed: "
    "it is as confidential as the texts themselves. Hashes of short or guessable texts can be tested by guessing."
)
"""What must not be passed on although it holds no text."""

TEXTS_AS_SCORED = "Texts are shown as scored, where a long one may be cut; the SHA-256 is that of the whole text."
"""What stands beside a table that shows texts."""


_WHICH_FILE = "Check which file holds the members, and that both sides come from the same source."


def actions(result: AuditResult) -> tuple[str, ...]:
    """List what to do next, most urgent first."""
    found = verdict(result)
    kind = found.kind
    if kind == "veto":
        return (found.action,)
    checks = [check for check in trust(result).remarkable if kind != "inverted" or check.name != "negative_control"]
    remedies = list(dict.fromkeys(as_sentence(check.remedy) for check in checks if check.remedy))
    remedies += [drop_action(result)] if drop_action(result) else []
    steps = {
        "uncalibrated": (
            "Give texts of the same source that were held out of training (--non-members); a few hundred suffice.",
        ),
        "unmeasured": ("Run at least the loss attack, with members and non-members.",),
        "inverted": (),
        "none": (
            "Do not read this as clearance: keep the report, and repeat it with more texts or a closer reference.",
            "Audit every later checkpoint with the same texts, so that one that leaks is noticed.",
        ),
        "found": _after_a_signal(result, found),
    }[kind]
    unlearned = [retrained.step(result.retrained)] if result.retrained else []
    steps = (*filter(None, unlearned), *steps)
    missing = () if result.memorization else ("Give a reference model (--reference) to measure bits of memorization.",)
    sizes = () if result.prediction else (prediction.MISSING,)
    first = (_WHICH_FILE,) if kind == "inverted" else ()
    return (*first, *remedies, *steps, *missing, *sizes)


def _after_a_signal(result: AuditResult, found: VerdictWords) -> tuple[str, ...]:
    """List what to do about a signal, in proportion to its strength."""
    grade = found.grade
    memory = result.memorization
    samples = "the most memorized samples" if memory and memory.top_samples else "the texts with the highest scores"
    look = f"Look at {samples}: do they hold personal or confidential data?"
    repair = (
        "Before release: de-duplicate, train for fewer epochs, or train with differential privacy; then audit "
        "again with the same texts."
    )
    if found.stands_out:
        return (
            f"Look first at the members who stand out, at the head of {samples}: do they hold confidential data?",
            "Treat the membership of these texts as disclosed to anyone who can query probabilities.",
            "Before release: remove these texts or their copies, train for fewer epochs, or train with differential "
            "privacy; then audit again with the same texts.",
            "Gate how many stand out (risk.stand_out.n_beyond_every_non_member): limits on averages let them through.",
        )
    if grade == "weak":
        return (
            look,
            "Repeat with more texts before acting on the average: the interval narrows, and a few texts may carry it.",
            "Audit every later checkpoint with the same texts, so that one that leaks more is noticed.",
        )
    if grade == "moderate":
        return ("Treat membership in the training set as partly disclosed: guesses beat chance.", look, repair)
    return ("Treat membership in the training set as disclosed to anyone who can query probabilities.", look, repair)


def limits(result: AuditResult) -> tuple[str, ...]:
    """List what this audit does not show."""
    rows = [
        f"That no attack does better. {_stronger(result)} on what an attacker can do.",
        "Anything about texts of another kind than those given, or about other copies or versions of the model.",
        "How another training run would come out: intervals cover the sampling of texts, not of training runs.",
        "A guarantee of differential privacy. An audit can refute a privacy claim, never establish one.",
    ]
    if result.extraction is None:
        rows.insert(
            1,
            "That a text can be extracted. Membership means recognising a text one already holds; "
            f"{_generated(result)}.",
        )
    if result.memorization is not None:
        rows.append("What target and reference both know: bits count only what the target holds beyond the reference.")
    else:
        rows.append("How much is remembered: without a reference, what is common knowledge cannot be told apart.")
    if result.risk is not None:
        rows.append(
            "That a single text was trained on. Probabilities of membership hold where half of the candidates are "
            "members; where fewer are, they are too high."
        )
    if result.retrained is not None:
        rows.append("How the target compares with every retrained model: one stands for all, and another seed differs.")
    if not trust(result).checks:
        rows.append("Whether members and non-members differ for another reason than training: no check was run.")
    return tuple(rows)


def _generated(result: AuditResult) -> str:
    """Say what the target wrote: nothing, unless an attack was run that needs continuations."""
    wrote = [attack.attack for attack in result.attacks if "continuations" in attack.needs]
    if not wrote:
        return "no text was generated here"
    return f"the target wrote only what {', '.join(wrote)} needed, which was not searched for the texts"


def _stronger(result: AuditResult) -> str:
    if result.config.get("shadows"):
        return "These are lower bounds"
    return "Stronger attacks exist, such as many shadow models; these are lower bounds"


GLOSSARY: tuple[tuple[str, str], ...] = (
    ("Member, non-member", "A text the target was trained on, and a text of the same kind that it was not."),
    (
        "Bit",
        "The unit of information. 1 bit halves the possibilities (a coin flip), 10 bits pick one in a thousand, "
        "20 bits one in a million, 33 bits one person on Earth.",
    ),
    (
        "Signed bits of a text",
        "log2 p(text | target) − log2 p(text | reference): how many bits shorter the target would write the text "
        "than the reference does. Below 0, the reference knows it better.",
    ),
    (
        "Bits of a member, debiased",
        "Mean of max(0, bits) over members minus the same over non-members. Clipping alone turns noise into bits; "
        "the subtraction takes that off.",
    ),
    (
        "AUC",
        "How often an attacker who is shown one member and one non-member scores the member higher, ties counting "
        "half: 0.5 is a coin flip, 1 is certainty.",
    ),
    (
        "TPR at FPR",
        "The share of members recognised when at most the stated share of non-members is wrongly accused. This is "
        "what matters to a single person.",
    ),
    ("F1 at equal error", "F1 at the threshold that errs equally often on both sides; 0.5 is a coin flip."),
    ("Advantage", "The largest TPR − FPR over all thresholds: 0 is a coin flip, 1 is certainty."),
    (
        "Weak, moderate, strong, near-perfect",
        "AUC from 0.5, 0.65, 0.8 and 0.97; both ends of the interval are named where they differ. If that is worse: "
        "members who stand out from all non-members, beyond what chance explains, make a signal moderate, ten of them "
        "strong, and half of all members near-perfect.",
    ),
    (
        "p, adjusted",
        "How often chance alone would give so high an AUC, adjusted for the number of attacks (Holm): among many "
        "attacks, some look good by chance.",
    ),
    (
        "Probability of membership",
        "What the score of one text says of it if members and non-members are equally likely beforehand. "
        "Calibrated: of the texts stated at 80%, about 80% are members.",
    ),
    (
        "Residual, over-erased, indistinguishable",
        "The target gives members away more than a model that never saw them, less than that one, or differs by "
        "less than the margin for sure. Unlearning aims at the last; the first two are findings.",
    ),
    (
        "Interval",
        "Brackets hold an interval at the stated level (95% unless said otherwise) over the sampling of texts.",
    ),
    (
        "Capacity",
        "The most a model of this size has been measured to memorize, about 3.6 bits per parameter (Morris et al., "
        "arXiv:2505.24832). The share used counts only what the audited members hold.",
    ),
)
"""What the words in a report mean."""
