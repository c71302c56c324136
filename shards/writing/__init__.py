"""Writes shards, and removes columns."""
