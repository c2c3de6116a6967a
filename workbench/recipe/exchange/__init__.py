"""Configurations of other trainers, read into recipes, and recipes written for them."""
