"""Which texts are audited: their ids, sides and groups, read as they are from files, folders or a hub."""

from .sides import Sample, SampleSet, Side, load_samples, load_texts
from .spool import LazyTexts, TextSpool

__all__ = ["LazyTexts", "Sample", "SampleSet", "Side", "TextSpool", "load_samples", "load_texts"]
