"""Diagnosis: whether an installation can audit, by trying what an audit needs."""
