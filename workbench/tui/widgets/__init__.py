"""Widgets take plain values and post messages; they never read files."""
