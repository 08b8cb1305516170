"""Arrays to estimates: every number with its interval. Numpy and scipy only."""
