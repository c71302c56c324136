"""Ways to run tasks; each file is one."""
