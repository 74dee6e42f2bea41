"""From a run's settings to a finished run directory."""
