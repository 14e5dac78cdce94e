"""The Hugging Face Hub: read, write, compare, and explain its errors."""
