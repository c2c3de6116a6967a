"""What may be asked of the models at most."""

MAX_NEW_TOKENS = 4096
"""Longest answer, in tokens; every front door and the generate process refuse more."""

MAX_ANSWERS = 16
"""Answers of one side to one prompt; likewise."""
