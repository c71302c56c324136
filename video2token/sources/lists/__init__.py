"""Lists of videos: from a file on the disk to the entries that it names."""
