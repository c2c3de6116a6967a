"""Floor 1: what to train. Recipes, their schema, checks and estimates."""
