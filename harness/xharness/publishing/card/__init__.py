"""Model cards: gather the facts, render the card, check it."""
