"""Verification: the claims of a finished audit, computed again."""
