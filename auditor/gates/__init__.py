"""Gates: a policy, the figures it limits, and whether a result keeps to it."""
