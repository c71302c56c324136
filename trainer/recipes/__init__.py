"""What is trained, on what and how; without torch."""
