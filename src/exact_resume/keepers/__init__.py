"""What is kept beyond Lightning's own checkpoints: each keeper has one part of it."""
