"""Takes a column of targets out of an HDF5 file."""
