"""A page to draw on, and its server."""
