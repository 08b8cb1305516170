"""Bits of unintended memorization in a language model, and membership-inference audits.

``import auditor`` is instant: nothing heavy is imported until it is used.
"""

from .siblings import refuse_foreign_siblings
from .version import __version__

__all__ = ["__version__"]

refuse_foreign_siblings()
