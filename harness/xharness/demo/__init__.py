"""`xharness demo`: a made-up world of parallel texts and a tiny model."""
