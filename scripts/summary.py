"""``python scripts/summary.py`` is ``convblocks summary``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("summary")
