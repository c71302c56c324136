"""What comes in: folders, patterns, files, lists and tars of videos."""
