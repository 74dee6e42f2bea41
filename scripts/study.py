"""``python scripts/study.py`` is ``convblocks study``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("study")
