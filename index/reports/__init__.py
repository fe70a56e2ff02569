"""Reports in the index: their passages, the searches over them, and how well those find."""
