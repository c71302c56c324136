"""A codebook fitted to the dataset itself."""
