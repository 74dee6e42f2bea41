"""``python scripts/predict.py`` is ``convblocks predict``."""

from convblocks.__main__ import run

if __name__ == "__main__":
    run("predict")
