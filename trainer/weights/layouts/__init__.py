"""One file for each project; its ``LAYOUTS`` are what it names the states of which methods and tasks."""
