"""Lists in the layout of a published dataset."""
