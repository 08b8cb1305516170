"""Models as people have them: found, fingerprinted, checked, and loaded when they are needed."""
