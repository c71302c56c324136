"""Networks that turn frames into codes."""
