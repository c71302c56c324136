"""What tests share: datasets and videos made in a moment, and the commands as a user runs them."""
