"""What a search finds for its cost."""
