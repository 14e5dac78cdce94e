"""`xharness fetch`: fill a data folder for offline use."""
