"""Reads datasets: columns, joined by key, by number of the sample."""
