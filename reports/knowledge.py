"""The split of what the target knows of an average member: shared with the reference, unintended, still to be told."""

from dataclasses import dataclass

from auditor.documents.estimate import Estimate
from auditor.documents.result import MemorizationResult

from .numbers import Quantity, plain

__all__ = ["Piece", "pieces", "quantities", "sentence"]

_MEMBER = "bits per member"


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the bar: the bits of an average member that are of one kind, in words, a word, and a sign for text."""

    css: str
    label: str
    word: str
    bits: float
    glyph: str


def pieces(memory: MemorizationResult) -> tuple[Piece, ...]:
    """Cut the code length of a member for who knows nothing into what is known of it, and the rest.

    Empty for files of older auditors, and where the models together save nothing: no bar can show that.
    """
    shared, whole = _value(memory.generalization_bits_per_member), _value(memory.uniform_bits_per_member)
    clipped = _value(memory.clipped_bits_per_member)
    if shared is None or whole is None or clipped is None or shared < 0:
        return ()
    cut = [Piece("shared", "shared with the reference", "shared", shared, "█")]
    if memory.calibrated:
        everyone = min(clipped, _value(memory.clipped_bits_per_non_member) or 0.0)
        cut += [
            Piece("common", "unintended, as of non-members", "as of others", everyone, "▓"),
            Piece("own", "unintended, beyond those", "unintended", clipped - everyone, "▒"),
        ]
    else:
        cut.append(Piece("own", "unintended, uncalibrated", "unintended", clipped, "▒"))
    return (*cut, Piece("rest", "not known", "unknown", max(0.0, whole - shared - clipped), "░"))


def sentence(memory: MemorizationResult) -> str:
    """Say in a sentence how what is saved divides; empty in files of older auditors."""
    saved, shared = _value(memory.saved_bits_per_member), _value(memory.generalization_bits_per_member)
    whole, clipped = _value(memory.uniform_bits_per_member), _value(memory.clipped_bits_per_member)
    if saved is None or shared is None or whole is None or clipped is None:
        return ""
    if shared < 0:
        return (
            f"Target or reference needs {plain(-shared)} bits more for an average member than a code that knows "
            "nothing: nothing is shared."
        )
    return (
        f"Of the {plain(whole)} bits that an average member costs where nothing is known, the target saves "
        f"{plain(saved)}: {plain(shared)} that the reference saves too, and {plain(clipped)} that it does not."
    )


def quantities(memory: MemorizationResult) -> tuple[Quantity, ...]:
    """List the estimates of the split; none in files of older auditors."""
    rows = (
        (memory.saved_bits_per_member, "Saved of a member", _MEMBER,
         "All that the target knows of a member: its code length where every token is as likely as any other, less "
         "the target's. The paper's total memorization."),
        (memory.generalization_bits_per_member, "Generalization, members", _MEMBER,
         "What the reference saves too: the saved bits less the clipped ones, in the paper intended memorization."),
        (memory.generalization_bits_per_non_member, "Generalization, non-members", "bits per non-member",
         "The same of texts that were never trained on."),
        (memory.generalization_share, "Generalization, share of the saved bits", "%",
         "The rest is unintended: noise and domain adaptation are in it (see the clipped mean of non-members)."),
        (memory.generalization_total_bits, "Generalization in all", "bits",
         "Times the number of members; what texts have in common is counted for each."),
        (memory.generalization_beyond_lzma_bits_per_member, "Generalization beyond LZMA", _MEMBER,
         "The same beside a general compressor, trained on nothing, in the place of the uniform code."),
    )  # fmt: skip
    return tuple(
        Quantity(label=label, unit=unit, estimate=estimate, note=note)
        for estimate, label, unit, note in rows
        if estimate is not None
    )


def _value(estimate: Estimate | None) -> float | None:
    return None if estimate is None else estimate.value
