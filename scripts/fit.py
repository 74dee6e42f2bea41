"""``python scripts/fit.py`` is ``convblocks fit``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("fit")
