"""``python scripts/new.py`` is ``convblocks new``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("new")
