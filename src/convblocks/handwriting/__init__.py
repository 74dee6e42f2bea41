"""A person's own picture: made into what the networks know, and recognised."""
