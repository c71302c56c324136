"""Who does the work: processes that may be killed."""
