"""Which texts are audited: their ids, sides and groups, read as they are from files, folders or a hub."""

from .drops import drop_ids_text, read_drop_ids
from .sides import Sample, SampleSet, Side, load_corpus, load_samples, load_texts
from .spool import LazyTexts, TextSpool

__all__ = [
    "LazyTexts",
    "Sample",
    "SampleSet",
    "Side",
    "TextSpool",
    "drop_ids_text",
    "load_corpus",
    "load_samples",
    "load_texts",
    "read_drop_ids",
]
