"""Canaries: secrets that coins put into training data, counted there, and looked for in the model."""
