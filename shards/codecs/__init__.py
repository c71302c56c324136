"""How features are kept on disk in fewer bytes than they were computed in."""
