"""The machine that runs train on: what it has, what is in use, and what a run has drawn of it."""
