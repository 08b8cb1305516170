"""Soundness: may a verdict be given at all? Checks of texts, models and sides that look at no attack."""
