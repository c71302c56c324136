"""Networks whose features a student learns to match."""
