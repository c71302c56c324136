"""Finds every flipped bit of a dataset, and says where."""
