"""The pages of the documentation, made of the numbers in docs/data."""
