"""Videos to columns, once, offline: frames and every training target."""
