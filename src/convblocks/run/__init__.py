"""Trains a run: from its settings to a finished run directory."""
