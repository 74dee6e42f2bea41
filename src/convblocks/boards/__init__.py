"""Gives TensorBoard tags and final values; further loggers continue their curves after a resume."""
