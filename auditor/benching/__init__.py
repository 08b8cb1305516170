"""Benches for papers: targets, attacks, data sets and seeds from one file, every cell an ordinary audit."""
