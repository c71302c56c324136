"""What a frame looks like: color, size, orientation, and its JPEG."""
