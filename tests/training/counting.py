"""Counts the training steps of a run."""

import os
from pathlib import Path

from convblocks.model.classifier import DigitClassifier


def count_steps(counter: Path) -> None:
    """Append a byte to a file for each training step from now on."""
    descriptor = os.open(counter, os.O_WRONLY | os.O_APPEND)

    def count(*_: object) -> None:
        os.write(descriptor, b".")

    DigitClassifier.on_before_zero_grad = count  # type: ignore[assignment, method-assign]
