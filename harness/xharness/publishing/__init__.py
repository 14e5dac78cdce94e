"""Publishing: what of a checkpoint goes to the Hub, how that differs from what is there, and sending it."""
