"""Computes target columns."""
