"""A page to draw on, served to this machine alone."""
