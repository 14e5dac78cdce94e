"""Model cards and `xharness publish`. Imports no torch."""
