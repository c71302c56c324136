"""Histograms of oriented gradients, as three reference codes compute them."""
