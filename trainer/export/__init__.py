"""Encoders and classifiers as modules that others use: with weights, preprocessing and a card."""
