"""Runs on several hosts: who they are, what they have, and the links to them."""
