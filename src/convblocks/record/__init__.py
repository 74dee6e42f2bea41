"""What a run leaves: its directory, result, provenance and checkpoints' files."""
