"""The record that a run leaves: its directory, result, provenance and checkpoints."""
