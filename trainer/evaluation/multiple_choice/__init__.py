"""How often the right one of a few sentences is chosen for a video."""
