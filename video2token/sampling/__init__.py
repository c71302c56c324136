"""Which frames of a video are wanted."""
