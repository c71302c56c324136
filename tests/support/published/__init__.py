"""Small lists as data sets publish them, and the exact samples that they mean."""
