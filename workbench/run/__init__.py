"""Floor 2: one launch on disk. Run directories, records, metrics and processes."""
