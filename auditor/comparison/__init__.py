"""Comparison: what changed between two audits, and over the checkpoints of a training run."""
