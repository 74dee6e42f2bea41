"""A page to draw digits on, served to this machine alone."""
