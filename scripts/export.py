"""``python scripts/export.py`` is ``convblocks export``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("export")
