"""usage: python -m benchmarks.handwriting CHECKPOINT ... [options]

Draw 400 pictures of digits that are not MNIST's, 40 a digit, let the networks of checkpoints recognise them, and print
how many each gets right, and their most frequent mistakes.

  --seed N             other sizes, widths, slants, places, colours and noise (default: 0)
  --out FOLDER         where the page goes, and in its folder data raw numbers (default: lightning_logs/benchmark)

Example:
  python -m benchmarks.handwriting lightning_logs/maxpool/checkpoints/last.ckpt
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.handwriting import page
from benchmarks.handwriting.drawing import Drawing, draw_all
from benchmarks.handwriting.results import Drawn, Network, Results
from benchmarks.pages import DATA, PAGES, write_raw_numbers
from convblocks.command_line import Parser, output_folder
from convblocks.console import answer, end
from convblocks.data.images import MNIST
from convblocks.errors import UserError
from convblocks.evaluation.trained import TrainedNetwork, load_network
from convblocks.handwriting.sight import look
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.runs.provenance import describe_machine, git_commit
from convblocks.tables import terminal, to_console

DRAWS = ("pillow", "matplotlib")


def main(arguments: list[str]) -> None:
    """Draw, ask, print the tables, and write page and raw numbers.

    Raises:
        UserError: a checkpoint cannot be used, or lies in no run directory.
    """
    parser = Parser()
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=LOGS / "benchmark")
    options = parser.parse_args(arguments)
    out = output_folder(options.out)
    runs = [run_of(path) for path in options.checkpoints]
    drawings = list(draw_all(options.seed))
    machine = ", ".join([describe_machine(), *(f"{package} {version(package)}" for package in DRAWS)])
    drawn = [Drawn(one.digit, one.kind, one.form, one.background) for one in drawings]
    results = Results(machine, git_commit(), options.seed, drawn)
    for path, run in zip(options.checkpoints, runs, strict=True):
        results.networks.append(network_of(run, answers(load_network(path), drawings)))
    write_raw_numbers(out / DATA, "handwriting", results)
    to_console(page.tables(results), terminal())
    page.write_page(output_folder(out / PAGES), results, drawings)
    print(f"Written to {out / 'handwriting'}.md, {out / 'drawings'}.png and {out / DATA / 'handwriting'}.json.")


def answers(trained: TrainedNetwork, drawings: Sequence[Drawing]) -> NDArray[np.int64]:
    """The digit that the network sees in each drawing: (N,)."""
    seen = np.stack([look(drawing.content, MNIST)[1] for drawing in drawings])
    predicted: NDArray[np.int64] = trained.logits(torch.from_numpy(seen)).argmax(dim=1).numpy()
    return predicted


def run_of(checkpoint: Path) -> RunDirectory:
    """The run that a checkpoint is of: without it nobody could say where the numbers come from."""
    folder = checkpoint.absolute().parent
    logs = next((path for path in folder.parents if path.name == LOGS.name), None)
    if logs is None or folder.name != "checkpoints":
        raise UserError(f"{checkpoint} lies in no run directory, {LOGS}/NAME/checkpoints/")
    return RunDirectory(folder.parent.relative_to(logs).as_posix(), logs.parent)


def network_of(run: RunDirectory, predicted: NDArray[np.int64]) -> Network:
    """What is to be known of the run's network, and its answers."""
    result = run.read_result()
    return Network(
        arch=result.arch,
        schedule=result.lr_scheduler,
        epochs=len(result.epochs),
        seed=result.seed,
        threads=result.provenance.threads,
        machine=result.provenance.machine,
        commit=result.provenance.commit,
        accuracy=result.accuracy,
        answers=predicted.tolist(),
    )


if __name__ == "__main__":
    end(answer(main, __doc__))
