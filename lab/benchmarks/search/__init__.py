"""The results of searches for their cost."""
