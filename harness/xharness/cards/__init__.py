"""Model cards: what is known of a checkpoint, put together, laid out as text, and proved to be whole."""
