"""Columns to weights: one loop that knows no method, and the methods it trains."""
