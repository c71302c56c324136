"""A training from start to end, in a folder of its own."""
