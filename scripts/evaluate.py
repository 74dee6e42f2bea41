"""``python scripts/evaluate.py`` is ``convblocks evaluate``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("evaluate")
