"""The demo: a small world told in seven languages, a tiny encoder that learns it, and the evaluation that all use."""
