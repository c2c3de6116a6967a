"""Floor 4: the terminal app, the only room that imports Textual and plotext."""
