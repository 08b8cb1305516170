"""The audited texts: their ids, sides and groups, read as they are from files, folders or a hub."""

from .dataset import Sample, SampleSet, Side, load_corpus, load_samples, load_texts, samples_in_memory
from .drops import drop_ids_text, read_drop_ids
from .lazy_texts import LazyTexts, TextSpool

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
    "samples_in_memory",
]
