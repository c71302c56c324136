"""Videos that a sentence finds."""
