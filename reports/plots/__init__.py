"""Standalone figures: an audit, a leaderboard, a prediction, a capacity, a calibrated law. SVG, PNG or PDF by name.

Imported only when a figure is asked for, because it imports matplotlib. Figures are objects and settings last as long
as the drawing, so nothing global changes, and the same document gives the same bytes. Text stays text in SVG and PDF
and is never read as mathematics. Nothing hangs on colour alone.
"""

from .audit_figures import AUDIT_FIGURES, audit_figures
from .calibration_figure import calibration_figure
from .capacity_figure import capacity_figure
from .landmarks import LANDMARKS, Landmark
from .leaderboard_figure import leaderboard_figure
from .prediction_map import prediction_map
from .reproduction_figures import capacity_sweep_figure, recited_figure, text_figure, training_figure
from .sheet import FORMATS

__all__ = [
    "AUDIT_FIGURES",
    "FORMATS",
    "LANDMARKS",
    "Landmark",
    "audit_figures",
    "calibration_figure",
    "capacity_figure",
    "capacity_sweep_figure",
    "leaderboard_figure",
    "prediction_map",
    "recited_figure",
    "text_figure",
    "training_figure",
]
