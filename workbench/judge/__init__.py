"""Which answer is better: both models' answers to a prompt, and what is kept of them."""
