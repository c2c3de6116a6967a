"""Everything that is known of a run, as one file that somebody can be shown."""
