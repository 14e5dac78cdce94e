"""Tasks that compare embeddings: retrieval, bitext mining and ranking."""
