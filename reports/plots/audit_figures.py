"""The figures of one audit as files: ROC curves, bits and attacks, the same that a notebook draws."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from auditor.documents.result import AuditResult
from auditor.documents.sample_table import SampleTable
from auditor.errors import ResultError

from ..escaping import PATH, visible
from ..numbers import plain, plural
from .audit_axes import draw_attacks, draw_bits, draw_roc
from .sheet import new_sheet

__all__ = ["AUDIT_FIGURES", "audit_figures"]

AUDIT_FIGURES = ("roc", "bits", "attacks")
"""Names of the figures of an audit, without their extensions."""


def audit_figures(result: AuditResult, samples: SampleTable, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Draw every figure that the audit has, in every format.

    Parameters
    ----------
    result : AuditResult
    samples : SampleTable
    folder : Path
        Where they go; it is there.
    formats : sequence of str
        Of `FORMATS`.

    Returns
    -------
    list of Path
        What was drawn; without non-members there are no ROC curves and no AUCs.
    """
    target = next((model.path for model in result.provenance.models if model.role == "target"), "?")
    n_members = int(samples.is_member.sum())
    n_others = len(samples.is_member) - n_members
    caption = f"{visible(target, PATH)}: {plural(n_members, 'member')}, {plural(n_others, 'non-member')}."
    if result.soundness is not None and result.soundness.verdict == "veto":
        caption += " For diagnosis only: a check forbids a verdict."
    height = 0.9 + 0.28 * len(result.attacks)
    figures: dict[str, tuple[str, tuple[float, float], Callable[[Axes], Axes]]] = {
        "roc": ("ROC curves", (4.4, 4.2), partial(draw_roc, result)),
        "bits": ("Bits of each text", (5.2, 3.2), partial(draw_bits, result, samples)),
        "attacks": ("Attacks", (5.2, height), partial(draw_attacks, result)),
    }
    drawn = []
    for name, (title, (width, tall), draw) in figures.items():
        for form in formats:
            path = folder / f"{name}.{form}"
            try:
                with new_sheet(path, width, tall, title, caption) as sheet:
                    left = 1.45 if name == "attacks" else 0.65
                    draw(sheet.add_axes((left / width, 0.5 / tall, 1 - (left + 0.15) / width, 1 - 0.6 / tall)))
                    sheet.axes[0].set_title("")
                    _plain_ticks(sheet.axes[0])
            except ResultError:  # nothing to draw: no non-members, no attack
                continue
            drawn.append(path)
    return drawn


def _plain_ticks(axes: Axes) -> None:
    """Write the ticks of logarithmic axes as numbers: a sheet reads no text as mathematics."""
    for axis, scale in ((axes.xaxis, axes.get_xscale()), (axes.yaxis, axes.get_yscale())):
        if scale == "log":
            axis.set_major_formatter(FuncFormatter(lambda value, _: plain(value)))
            axis.set_minor_formatter(NullFormatter())
