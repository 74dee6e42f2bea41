"""Reads the words of a command line and configs, and makes a run's settings of them."""
