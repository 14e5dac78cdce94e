"""`xharness eval`: plan, run, retrieval and layers."""
