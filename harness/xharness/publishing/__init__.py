"""Model cards and `xharness publish`. No torch."""
