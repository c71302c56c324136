"""Says before a job what it will take."""
