"""`xharness train`, `eval --tune` and `xharness plan`."""
