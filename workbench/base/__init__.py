"""Floor 0: problems, paths, files and text; imports nothing of the project."""
