"""From the words of a command line and configs to a run's settings."""
