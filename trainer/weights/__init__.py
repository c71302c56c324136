"""Weights in files: under our names, and under those of other projects."""
