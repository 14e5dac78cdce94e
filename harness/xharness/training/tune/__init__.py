"""`xharness eval --tune`: train missing heads and score them."""
