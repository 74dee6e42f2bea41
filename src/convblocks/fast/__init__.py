"""Skips needless work in Lightning and torch at each step. ``--fast false`` turns it off: on the CPU no bit depends on it."""
