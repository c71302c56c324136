"""What a file is: its format, its packets, a member of a tar."""
