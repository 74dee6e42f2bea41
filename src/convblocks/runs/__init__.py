"""Run directories: results, checkpoints and provenance."""
