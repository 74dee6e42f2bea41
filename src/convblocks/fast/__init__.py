"""Speed: no needless work in Lightning and torch at each step. ``--fast false`` turns it off; no bit depends on it."""
