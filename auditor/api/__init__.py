"""The library that programs and notebooks import: the functions that the command line calls, behind a few names."""
