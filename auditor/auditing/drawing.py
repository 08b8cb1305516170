"""Extraction that needs the target once more: at other temperatures, and with a few tokens replaced."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..documents.extraction import ExtractionResult
from ..engine.near_verbatim import BEAMS, EDITED_SHARE, near_verbatim_log2_p
from ..engine.scoring import ScoringProgress
from ..engine.tempered import tempered_log2_p
from ..estimates.extraction import TOP_K, near_verbatim, tempered
from ..stats.clusters import pick_groups
from .evidence import Evidence

__all__ = ["draw_near", "draw_tempered"]

Watch = Callable[[ScoringProgress], None] | None


def draw_tempered(drawn: ExtractionResult | None, evidence: Evidence, on_progress: Watch) -> ExtractionResult | None:
    """Read extraction at other temperatures, if that was asked for."""
    config, found, cut = evidence.config, evidence.scores.extraction, evidence.cut
    if not config.extract_temperatures or drawn is None or found is None or cut is None:
        return drawn
    places = np.flatnonzero(found.is_read)
    each = tempered_log2_p(
        evidence.collected.plan,
        places.tolist(),
        config,
        cut,
        found.suffix_tokens,
        top_k=TOP_K,
        temperatures=config.extract_temperatures,
        on_progress=on_progress,
    )
    sides, groups = evidence.table.is_member[places], pick_groups(evidence.groups, found.is_read)
    return replace(
        drawn,
        tempered=tuple(
            tempered(temperature, log2_p, sides, groups=groups, level=config.confidence)
            for temperature, log2_p in zip(config.extract_temperatures, each, strict=True)
        ),
    )


def draw_near(drawn: ExtractionResult | None, evidence: Evidence, on_progress: Watch) -> ExtractionResult | None:
    """Search near the ends of some texts of each side, if that was asked for."""
    config, found, cut = evidence.config, evidence.scores.extraction, evidence.cut
    if config.near_verbatim is None or drawn is None or found is None or cut is None:
        return drawn
    is_chosen = _chosen(found.is_read, evidence.table.is_member, config.near_verbatim, config.seed)
    places = np.flatnonzero(is_chosen)
    bounds = near_verbatim_log2_p(
        evidence.collected.plan,
        places.tolist(),
        config,
        cut,
        found.suffix_tokens,
        top_k=TOP_K,
        on_progress=on_progress,
    )
    return replace(
        drawn,
        near_verbatim=near_verbatim(
            bounds,
            found.log2_p[places],
            evidence.table.is_member[places],
            edited_share=EDITED_SHARE,
            n_beams=BEAMS,
            groups=pick_groups(evidence.groups, is_chosen),
            level=config.confidence,
        ),
    )


def _chosen(is_read: NDArray[np.bool_], is_member: NDArray[np.bool_], n: int, seed: int) -> NDArray[np.bool_]:
    """Choose so many texts of each side at random, of those that are long enough."""
    chosen, rng = np.zeros_like(is_read), np.random.default_rng(seed)
    for side in (is_member, ~is_member):
        chosen[rng.permutation(np.flatnonzero(is_read & side))[:n]] = True
    return chosen
