"""What is measured of a video: motion, shots, duplicates."""
