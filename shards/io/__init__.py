"""Bytes on a disk: files that are whole or absent, sealed, locked; JSON, NumPy and Parquet."""
