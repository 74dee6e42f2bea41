"""``demo`` recognises digits that you draw in a browser."""
