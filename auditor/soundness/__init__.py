"""Soundness: checks of texts, models and sides that decide whether a verdict may be given; no attack is looked at."""
