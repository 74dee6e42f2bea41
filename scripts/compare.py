"""``python scripts/compare.py`` is ``convblocks compare``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("compare")
