"""``python scripts/test.py`` is ``convblocks test``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("test")
