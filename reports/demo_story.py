"""The demonstration's last page: what the audit found beside what is true, by number of copies."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from auditor.documents.estimate import Estimate
from auditor.experiments.demo import CopiesRow

from .numbers import number

__all__ = ["render_demo"]


def render_demo(rows: Sequence[CopiesRow]) -> Group:
    """Set the bits that the audit found beside the bits that the target truly holds.

    Parameters
    ----------
    rows : sequence of CopiesRow
        From ``auditor.experiments.demo.memorization_by_copies``.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for heading in ("Copies", "n", "Bits", "Found by the audit", "True", "Held"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            str(row.copies),
            str(row.n),
            number(row.entropy_bits, 1),
            _bits(row.signed_bits),
            _bits(row.true_bits),
            _share(row),
        )
    return Group(
        Text("\nThe same audit against the truth", style="bold"),
        Text(
            "The people are invented by a known recipe, so the information in each record is known exactly. Found: "
            "bits by which the target codes a record better than the reference, all that an audit of a real model "
            "can see. True: the record's information minus the target's code length. Means with 95% intervals; "
            "0 copies are the non-members. Held: the mean share of each record's own information."
        ),
        table,
        Text(
            f"The audit, which knows nothing of the recipe, comes within {_worst(rows)} bits of the truth for every "
            f"kind of member. The target kept {_share(rows[1])} of the people it saw once, and {_share(rows[-1])} of "
            f"those it saw {rows[-1].copies} times. Of people it never saw it knows nothing: negative bits are its "
            "overfitting. What target and reference both know of a person seen once, the template and the names, is "
            f"{_bits(rows[1].shared_bits)} bits beyond knowing nothing; with the recipe itself as the reference it is "
            f"{_bits(rows[1].true_shared_bits)}."
        ),
    )


def _share(row: CopiesRow) -> str:
    """Write the share of a record that the target holds."""
    return f"{max(0.0, row.true_share.value or 0.0):.0%}"


def _worst(rows: Sequence[CopiesRow]) -> str:
    """Write the largest distance between found and true, over members."""
    return number(max(abs((r.signed_bits.value or 0.0) - (r.true_bits.value or 0.0)) for r in rows if r.copies), 1)


def _bits(estimate: Estimate) -> str:
    """Write a mean of bits with its interval."""
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return "—"
    return f"{number(estimate.value, 1)} [{number(estimate.low, 1)} to {number(estimate.high, 1)}]"
