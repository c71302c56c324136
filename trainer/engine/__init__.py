"""The loop and what it needs; it knows no method."""
