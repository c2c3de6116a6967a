"""A run as a job of Slurm's: its script, submission, what the queue says, and batch step."""
