"""What a column holds: its options, its arrays, the codebook it keeps."""
