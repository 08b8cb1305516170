"""Documents: what is written to a file and read back, frozen dataclasses whose field order is the format."""
