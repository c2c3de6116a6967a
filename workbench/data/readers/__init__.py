"""Reading rows out of any local file that people keep training data in."""
