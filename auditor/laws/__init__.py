"""The laws of Morris et al. 2025 that tie capacity, data and membership inference together."""
