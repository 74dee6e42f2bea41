"""usage: python -m lab.benchmarks.handwriting CHECKPOINT ... [options]

Draw 400 pictures of digits that are not MNIST's, 40 a digit, let the networks of
checkpoints recognise them, and print how many each gets right, and their most frequent
mistakes.

  --out FOLDER         where the page goes, and in its folder data raw numbers (default:
                       lightning_logs/benchmark)

Example:
  python -m lab.benchmarks.handwriting lightning_logs/maxpool/checkpoints/last.ckpt
"""

from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from convblocks.console import answer, end
from convblocks.data.images import MNIST
from convblocks.errors import UserError
from convblocks.figures.tables import to_console
from convblocks.handwriting.predict import look
from convblocks.model.restore import load_network
from convblocks.record.directory import LOGS
from convblocks.record.provenance import describe_machine, git_commit
from convblocks.record.result import RunResult, decode
from lab.benchmarks.handwriting import page
from lab.benchmarks.handwriting.drawing import draw_all
from lab.benchmarks.handwriting.results import Drawn, Network, Results
from lab.benchmarks.harness import parser_with_out
from lab.pages.writing import output_folder, write_raw_numbers

# Of sizes, widths, slants, places, colours and noise.
SEED = 0


def main(arguments: list[str]) -> None:
    """Draw, ask, print the tables, and write page and raw numbers.

    Raises:
        UserError: a checkpoint cannot be used, or lies in no run directory.
    """
    parser = parser_with_out()
    parser.add_argument("checkpoints", nargs="+", type=Path)
    options = parser.parse_args(arguments)
    runs = [result_of(path) for path in options.checkpoints]
    drawings = list(draw_all(SEED))
    seen = torch.tensor(np.array([look(one.content, MNIST)[1] for one in drawings]))
    versions = f"pillow {version('pillow')}, matplotlib {version('matplotlib')}"
    machine = f"{describe_machine()}, {versions}"
    drawn = [Drawn(one.digit, one.kind, one.form, one.background) for one in drawings]
    networks = [
        Network(
            arch=run.arch,
            schedule=run.hparams["lr_scheduler"],
            epochs=len(run.epochs),
            seed=run.seed,
            threads=run.provenance.threads,
            machine=run.provenance.machine,
            commit=run.provenance.commit,
            accuracy=run.score,
            lr=run.hparams["lr"],
            answers=load_network(path).logits(seen).argmax(dim=1).tolist(),
        )
        for path, run in zip(options.checkpoints, runs, strict=True)
    ]
    results = Results(machine, git_commit(), SEED, drawn, networks)
    write_raw_numbers(options.out / "data", "handwriting", results)
    to_console([page.networks_table(results)])
    page.publish(output_folder(options.out / "lab"), results)
    print(f"Written to {options.out}/lab/handwriting.md and its numbers to data/.")


def result_of(checkpoint: Path) -> RunResult:
    """The result of a checkpoint's run, which says where its numbers come from."""
    summary = checkpoint.absolute().parents[1] / "summary.json"
    try:
        return decode(summary.read_bytes(), summary, "resume the run to rewrite it")
    except OSError as error:
        raise UserError(
            f"{checkpoint} lies in no finished run, {LOGS}/NAME/checkpoints/"
        ) from error


if __name__ == "__main__":
    end(answer(main, __doc__))
