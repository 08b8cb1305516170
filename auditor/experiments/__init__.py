"""Train many small models to measure a law's constants: capacity on random tokens, membership on real text."""
