"""Fits a codebook to the frames of a dataset."""
