"""The long runs, each named after its command."""
