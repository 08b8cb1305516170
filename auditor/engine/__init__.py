"""Texts to signals: the only room that runs the audited models."""
