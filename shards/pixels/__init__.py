"""Pixels: JPEGs, views of a frame, HOG."""
