"""Secrets of a known form: where they stand in texts, what else could stand there, how far up a model ranks them."""
