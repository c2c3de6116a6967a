"""Floor 1: what to train on. Looks at data files without loading any library for it."""
