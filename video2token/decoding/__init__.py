"""From a video to the JPEGs of its wanted frames."""
