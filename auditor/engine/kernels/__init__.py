"""From logits to the statistics of the true token: one contract, three tiers of speed, each checked before use."""

from .choice import KERNEL_NAMES, choose_kernel
from .contract import Kernel, Moments, TokenStatistics, merge_moments
from .largest import N_TOP
from .plain import PLAIN, token_statistics
from .tiles import tiled_statistics

__all__ = [
    "KERNEL_NAMES",
    "N_TOP",
    "PLAIN",
    "Kernel",
    "Moments",
    "TokenStatistics",
    "choose_kernel",
    "merge_moments",
    "tiled_statistics",
    "token_statistics",
]
