"""`xharness demo`: an invented world of parallel texts and a tiny model."""
