"""Gives TensorBoard tags, final values and figures, and lets additional loggers continue their curves after a resume."""
