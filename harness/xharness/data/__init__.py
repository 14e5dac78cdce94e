"""Load the examples of a task in one language, from a data folder or the Hub."""
