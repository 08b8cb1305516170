"""Names beside the marks of a figure, placed so that none covers another."""

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from .sheet import GREY, INK, PAPER, Array, Point

__all__ = ["Labels", "apart"]


class Labels:
    """Puts labels into axes so that they cover neither points nor each other; limits must not change afterwards."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.pixel = matplotlib.rcParams["figure.dpi"] / 72
        self.inside: Array = np.array(axes.get_window_extent().extents)
        self.taken: Array = np.empty((0, 4))

    def avoid(self, point: Point, radius: float = 3.5) -> None:
        """Keep labels off a point; the radius is in points of type."""
        x, y = self._place(point)
        r = radius * self.pixel
        self._take((x - r, y - r, x + r, y + r))

    def beside(self, text: str, point: Point, *, fontsize: float = 7.5, color: str = INK, gap: float = 5) -> None:
        """Label a point on the side that is free, further away with a line to it if need be."""
        x, y = self._place(point)
        width, height = self._size(text, fontsize)
        sides = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
        options = [
            (sx * r * self.pixel + (sx - 1) * width / 2, sy * r * self.pixel + (sy - 1) * height / 2)
            for r in (gap, gap + 4, 18, 28, 40, 56)
            for sx, sy in sides
        ]
        boxes = [(x + dx, y + dy, x + dx + width, y + dy + height) for dx, dy in options]
        costs = [self._cost(box) + self._crossings((x, y), box, gap * self.pixel) for box in boxes]
        best = costs.index(min(costs))
        self._take(boxes[best])
        dx, dy = options[best]
        self.axes.annotate(
            text,
            point,
            xytext=(dx / self.pixel, dy / self.pixel),
            textcoords="offset points",
            fontsize=fontsize,
            color=color,
            va="bottom",
            bbox=PAPER,
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 2.5}
            if best >= len(sides)
            else None,
            zorder=5,
        )

    def in_corner(self, text: str, *, left: bool) -> None:
        """Say what a region is, in the upper left or the lower right corner."""
        at = (0.015, 0.985) if left else (0.985, 0.015)
        drawn = self.axes.text(
            *at,
            text,
            transform=self.axes.transAxes,
            ha="left" if left else "right",
            va="top" if left else "bottom",
            style="italic",
            bbox=PAPER,
        )
        self._take(drawn.get_window_extent().extents)

    def along(self, slope: float, text: str, *, lift: float = 0.0, color: str = INK) -> None:
        """Write on the line ``y = slope * x`` of a log-log map, or above it, where nothing is in the way."""
        width, height = self._size(text, 7.5)
        x0, x1 = self.axes.get_xlim()
        ends = np.array([self._place((x, slope * x)) for x in (x0, x1)])
        direction = (ends[1] - ends[0]) / np.hypot(*(ends[1] - ends[0]))
        aside = lift * np.array([-direction[1], direction[0]])
        steps = np.arange(-width / 2, width / 2 + height / 2, height / 2)[:, None]

        def boxes(share: float) -> list[Array]:
            middle = ends[0] + aside * self.pixel + share * (ends[1] - ends[0])
            return [np.concatenate((spot - height / 2, spot + height / 2)) for spot in middle + steps * direction]

        shares = [0.04 + 0.02 * k for k in range(47)]
        best = min(shares, key=lambda share: sum(self._cost(box) for box in boxes(share)))
        self._take(*boxes(best))
        x = x0 * (x1 / x0) ** best
        angle = math.degrees(math.atan2(direction[1], direction[0]))
        self.axes.annotate(
            text, (x, slope * x), xytext=(aside[0], aside[1]), textcoords="offset points", rotation=angle,
            rotation_mode="anchor", ha="center", va="center", fontsize=7.5, color=color,
        )  # fmt: skip

    def _take(self, *boxes: ArrayLike) -> None:
        self.taken = np.vstack((self.taken, *boxes))

    def _cost(self, box: ArrayLike) -> float:
        """Area of a box that others need, or that lies outside the axes."""
        x0, y0, x1, y1 = np.asarray(box)

        def shared(others: Array) -> float:
            width = np.minimum(x1, others[:, 2]) - np.maximum(x0, others[:, 0])
            height = np.minimum(y1, others[:, 3]) - np.maximum(y0, others[:, 1])
            return float((width.clip(0) * height.clip(0)).sum())

        outside = float((x1 - x0) * (y1 - y0)) - shared(self.inside[None])
        return round(outside + shared(self.taken), 3)

    def _crossings(self, start: Point, box: ArrayLike, own: float) -> int:
        """Count what lies between a point and its label, past the mark of the point itself."""
        begin, corners = np.asarray(start), np.reshape(box, (2, 2))
        nearest = np.clip(begin, corners[0], corners[1])
        way = begin + np.linspace(0, 1, 12)[:, None] * (nearest - begin)
        way = way[np.hypot(*(way - begin).T) > own][:, None]
        return int(((self.taken[:, :2] <= way) & (way <= self.taken[:, 2:])).all(axis=2).sum())

    def _place(self, point: Point) -> Point:
        x, y = self.axes.transData.transform(point)
        return float(x), float(y)

    def _size(self, text: str, fontsize: float) -> tuple[float, float]:
        probe = self.axes.text(0, 0, text, fontsize=fontsize, transform=None)
        box = probe.get_window_extent()
        probe.remove()
        return box.width, box.height


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Push ascending positions apart, around the middle where they were."""
    placed: list[float] = []
    for position in wanted:
        placed.append(max(position, placed[-1] + gap) if placed else position)
    shift = (sum(placed) - sum(wanted)) / max(1, len(placed))
    return [position - shift for position in placed]
