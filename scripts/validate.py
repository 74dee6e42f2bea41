"""``python scripts/validate.py`` is ``convblocks validate``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("validate")
