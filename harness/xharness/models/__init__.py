"""Models as torch modules: loading, task kinds, inference and packing."""
