"""``python scripts/demo.py`` is ``convblocks demo``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("demo")
