"""From columns to batches."""
