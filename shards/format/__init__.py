"""What a dataset consists of: plan, manifest, samples, index, and files of other readers."""
