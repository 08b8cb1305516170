"""Estimates: from scores and bits to the parts of a result; a module a key of `result.json`."""
