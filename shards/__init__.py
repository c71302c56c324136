"""The dataset format: columns of aligned tar shards; needs numpy and pyarrow, never torch or click."""
