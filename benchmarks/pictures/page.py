"""The tables of what pictures cost, and their page in the documentation."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.pictures.data import COLOUR, as_many_for_testing
from benchmarks.pictures.measure import ALL_CORES, BATCH_SIZE, ONE_CORE, REPEATS, WAYS
from benchmarks.pictures.results import COLOUR_TARGET, FOLDER_TARGET, Results
from benchmarks.ratios import RATIOS, UNDECIDED, ratio
from convblocks.atomic import write
from convblocks.estimates import Estimate
from convblocks.tables import Table, to_markdown

ABOUT = """\
# What pictures cost

Made from [raw numbers](../data/pictures.json), which `python -m benchmarks.pictures {arguments}` measured in
{minutes:.0f} minutes on the machine below, with nothing else running.

{machine}; commit {commit}; {threads} threads.

- `MNIST`: MNIST's own four files.
- `folder`: {pictures:,} training and {test:,} test images of MNIST, written out as one PNG file each and decoded once.
- `colour`: as many pictures as MNIST has, {shape}, of random content.

An epoch is one of `scripts/fit.py` with everything on: some steps at batch size {batch_size}, the same share of the
evaluation, logs and checkpoint. Each fresh process runs {repeats} of them; the first is not timed, and the median of
the others counts. `bare` is just the network and its optimizer: as many steps over one batch, in a plain loop of torch,
without the short cuts of `training/fast*.py`.

{rounds} rounds, every second one in the opposite order. Seconds are medians over the rounds.
"""

PROPORTION = (
    "How many times as much colour pictures take as MNIST: multiply-adds by torchinfo's count, bare steps, and epochs. "
    "An epoch costs in proportion to its arithmetic if it grows as the bare steps do. It may grow less, since some of "
    "its work does not depend on the size of the pictures."
)

READING = (
    "Decoding means listing the training pictures, checking each one's size and decoding it; it is done once. The kept "
    "file is what later runs read, after a check whether any picture has changed. It and MNIST's own files hold "
    "training and test images together. The system has all files in its memory, since they were written or read "
    "before. Seconds are the median, in brackets the least and the most. Decoding with all cores takes {ratio} times "
    "as long as with one."
)


def write_page(folder: Path, results: Results) -> None:
    """Write the page."""
    write(folder / "pictures.md", markdown(results))


def tables(results: Results) -> list[Table]:
    return [folder_table(results), colour_table(results), reading_table(results)]


def folder_table(results: Results) -> Table:
    """A folder of pictures against MNIST's own files."""
    rows = []
    for arch in results.archs():
        own, folder = (_seconds(results.seconds("epoch", arch, data)) for data in ("MNIST", "folder"))
        measured = results.growth("epoch", arch, "folder")
        rows.append([arch, str(results.steps(arch)), own, folder, str(measured), _held(measured, FOLDER_TARGET)])
    header = ["network", "steps", "MNIST, seconds", "folder, seconds", "folder / MNIST", "target"]
    note = f"{RATIOS.format(rounds=results.rounds)} {UNDECIDED}"
    return Table("An epoch on a folder of pictures, once decoded", header, rows, [note])


def colour_table(results: Results) -> Table:
    """What colour pictures cost, beside their arithmetic."""
    rows = []
    for arch in results.archs():
        own, colour = (_seconds(results.seconds("epoch", arch, data)) for data in ("MNIST", "colour"))
        growths = [str(results.growth(what, arch, "colour")) for what in ("bare", "epoch")]
        measured = results.proportion(arch)
        growth = f"{results.growth_of_arithmetic(arch):.2f}"
        rows.append([arch, own, colour, growth, *growths, str(measured), _held(measured, COLOUR_TARGET)])
    header = [
        "network",
        "MNIST, seconds",
        "colour, seconds",
        "multiply-adds",
        "bare",
        "epochs",
        "epochs / bare",
        "target",
    ]
    return Table("An epoch on colour pictures", header, rows, [PROPORTION])


def reading_table(results: Results) -> Table:
    """How long it takes until images are in memory."""
    rows = []
    for way in WAYS:
        seconds = results.seconds_of_reading(way)
        images = next(one.images for one in results.read if one.way == way)
        spread = f"{_seconds(seconds)} [{min(seconds):.2f}, {max(seconds):.2f}]"
        rows.append([way, f"{images:,}", spread, f"{images / median(seconds):,.0f}"])
    cores = ratio(*(results.seconds_of_reading(way) for way in (ALL_CORES, ONE_CORE)))
    note = READING.format(ratio=cores)
    return Table("From files into memory", ["", "images", "seconds", "images a second"], rows, [note])


def markdown(results: Results) -> str:
    """The whole page."""
    about = ABOUT.format(
        arguments=shlex.join(results.arguments),
        minutes=results.minutes,
        machine=results.machine,
        commit=results.commit or "unknown",
        threads=results.threads,
        pictures=results.pictures,
        test=as_many_for_testing(results.pictures),
        shape=" x ".join(map(str, COLOUR.shape)),
        repeats=REPEATS,
        batch_size=BATCH_SIZE,
        rounds=results.rounds,
    )
    return f"{about}\n{to_markdown(tables(results))}"


def _seconds(measured: Sequence[float]) -> str:
    return f"{median(measured):.2f}"


def _held(measured: Estimate, most: float) -> str:
    return f"at most {most:g}: {measured.at_most(most)}"
