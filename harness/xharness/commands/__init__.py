"""The commands of the command line, one module per group of them; each imports what it needs when it is run."""
