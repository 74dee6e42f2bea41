"""Lets a run tell how many training steps it has taken."""

import os
from pathlib import Path

from convblocks.model.classifier import DigitClassifier


def count_steps(counter: Path) -> None:
    """From now on let a file get a byte for each training step."""
    descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND)

    def count(*_: object) -> None:
        os.write(descriptor, b".")

    DigitClassifier.on_before_zero_grad = count  # type: ignore[assignment, method-assign]
