"""The model card: gather the facts, render them, check the result."""
