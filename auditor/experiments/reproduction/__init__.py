"""The experiments of Morris et al. 2025 again, small enough for a laptop or at the paper's own sizes."""
