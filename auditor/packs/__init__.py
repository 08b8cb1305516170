"""Packs: texts, reference scores and settings in one file, so that a later audit runs the target only."""
