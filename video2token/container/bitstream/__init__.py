"""What coded frames say of themselves, read without decoding."""
