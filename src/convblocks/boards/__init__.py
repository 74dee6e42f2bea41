"""Gives TensorBoard tags, final values and figures; further loggers continue their curves after a resume."""
