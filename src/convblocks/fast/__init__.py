"""Skips needless work in Lightning and torch at each step; ``--fast false`` does not.
On the CPU no bit changes.
"""
