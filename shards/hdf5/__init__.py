"""Columns as HDF5 files: written for readers of h5py, and read from files that anybody may have made."""
