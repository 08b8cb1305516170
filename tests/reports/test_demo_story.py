"""The demonstration's table: every row, found beside true, readable in 80 columns."""

import io

from rich.console import Console

from auditor.experiments.demo import CopiesRow
from helpers import estimate_within
from reports import render_demo


def row(copies: int, found: float, true: float) -> CopiesRow:
    return CopiesRow(
        copies=copies,
        n=5,
        entropy_bits=60.0,
        signed_bits=estimate_within(found, 1.0),
        memorized_bits=estimate_within(max(0.0, found), 1.0),
        true_bits=estimate_within(true, 1.0),
        true_share=estimate_within(true / 60, 1.0),
        shared_bits=estimate_within(210.0 + copies, 1.0),
        true_shared_bits=estimate_within(212.0 + copies, 1.0),
    )


def test_found_stands_beside_true() -> None:
    console = Console(file=io.StringIO(), width=80)
    console.print(render_demo([row(0, -3.0, -4.0), row(1, 6.25, 5.0), row(16, 54.0, 54.5)]))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    lines = [line.split() for line in text.splitlines()]
    assert ["1", "5", "60.0", "6.2", "[5.2", "to", "7.2]", "5.0", "[4.0", "to", "6.0]", "8%"] in lines
    assert ["0", "5", "60.0", "−3.0", "[−4.0", "to", "−2.0]", "−4.0", "[−5.0", "to", "−3.0]", "0%"] in lines
    assert "within 1.2 bits of the truth" in " ".join(text.split())
    assert "is 211.0 [210.0 to 212.0] bits beyond knowing nothing" in " ".join(text.split())
    assert "with the recipe itself as the reference it is 213.0 [212.0 to 214.0]" in " ".join(text.split())
    assert "kept 8% of the people it saw once, and 91% of those it saw 16 times" in " ".join(text.split())
