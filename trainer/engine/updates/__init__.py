"""From the gradients of a batch to new weights."""
