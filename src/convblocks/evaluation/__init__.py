"""A checkpoint that answers: how good its answers are, what they look like, and files that give them elsewhere."""
