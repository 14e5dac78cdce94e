"""Checkpoints as files: config, weights, heads, training records, the model zoo, downloads. No torch."""
