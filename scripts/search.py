"""``python scripts/search.py`` is ``convblocks search``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("search")
