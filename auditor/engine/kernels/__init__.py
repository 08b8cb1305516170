"""From logits to the statistics of the true token: one contract, three tiers of speed, each checked before use."""

from .choice import KERNEL_NAMES, choose_kernel
from .contract import Kernel, TokenStatistics
from .plain import PLAIN, token_statistics

__all__ = ["KERNEL_NAMES", "PLAIN", "Kernel", "TokenStatistics", "choose_kernel", "token_statistics"]
