"""Which shape rows have, and what a trainer gets of them."""
