"""Weights under the names of other projects."""
