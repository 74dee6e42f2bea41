"""usage: python -m benchmarks.handwriting CHECKPOINT [--seed N]

Draw 400 pictures of digits that are not MNIST's, 40 a digit, let the network of a checkpoint recognise them, and print
how many it gets right and which it takes for which.

  --seed N             other sizes, widths, slants, places, colours and noise (default: 0)
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.handwriting.drawing import BACKGROUNDS, Drawing, draw_all
from convblocks.command_line import Parser
from convblocks.console import answer
from convblocks.data.description import MNIST
from convblocks.evaluation.trained import TrainedNetwork, load_network
from convblocks.handwriting.sight import look
from convblocks.tables import Table, to_markdown


def main(arguments: list[str]) -> None:
    """Measure and print.

    Raises:
        UserError: the checkpoint cannot be used.
    """
    parser = Parser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    trained = load_network(options.checkpoint)
    drawings = list(draw_all(options.seed))
    predicted = answers(trained, drawings)
    print(to_markdown(tables(drawings, predicted)), end="")


def answers(trained: TrainedNetwork, drawings: Sequence[Drawing]) -> NDArray[np.int64]:
    """The digit that the network sees in each drawing: (N,)."""
    seen = np.stack([look(drawing.content, MNIST)[1] for drawing in drawings])
    predicted: NDArray[np.int64] = trained.logits(torch.from_numpy(seen)).argmax(dim=1).numpy()
    return predicted


def tables(drawings: Sequence[Drawing], predicted: NDArray[np.int64]) -> list[Table]:
    """How many are right, by kind and background, and the confusion."""
    true = np.array([drawing.digit for drawing in drawings])
    right = predicted == true
    groups = {"all": np.full(len(drawings), True)}
    groups |= {kind: np.array([drawing.kind == kind for drawing in drawings]) for kind in ("strokes", "font")}
    groups |= {name: np.array([drawing.background == name for drawing in drawings]) for name in BACKGROUNDS}
    summary = [
        [name, str(group.sum()), str(right[group].sum()), f"{100 * right[group].mean():.1f} %"]
        for name, group in groups.items()
    ]
    confusion = [
        [
            f"**{digit}**",
            *(str(np.sum((true == digit) & (predicted == other)) or "") for other in range(10)),
            str(np.sum(true == digit)),
            f"{100 * right[true == digit].mean():.1f} %",
        ]
        for digit in range(10)
    ]
    columns = ["drawn", *(f"as {digit}" for digit in range(10)), "n", "right"]
    return [Table("Recognised", ["pictures", "n", "right", "share"], summary), Table("Confusion", columns, confusion)]


if __name__ == "__main__":
    sys.exit(answer(main, __doc__))
