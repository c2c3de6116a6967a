"""Processes that hold a model: training, generating, merging; the only room that imports torch."""
