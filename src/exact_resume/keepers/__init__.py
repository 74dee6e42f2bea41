"""The keepers: each keeps one part of what Lightning's own checkpoints lack."""
