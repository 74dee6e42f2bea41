"""``python scripts/benchmark.py`` is ``convblocks benchmark``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("benchmark")
