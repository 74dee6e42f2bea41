"""The tables of the cost of pictures: ratios within a round, and their targets."""

from pathlib import Path
from statistics import median

from convblocks.figures.estimates import Estimate
from convblocks.figures.tables import Table
from lab.benchmarks.pages import Page
from lab.benchmarks.pictures.data import COLOUR, as_many_for_testing
from lab.benchmarks.pictures.measure import ALL_CORES, BATCH_SIZE, ONE_CORE, WAYS
from lab.benchmarks.rows import Results, judged, ratio
from lab.estimates import at_most

# The most that an epoch on a folder of pictures may take of one on MNIST's own files.
FOLDER_TARGET = 1.05

# The most by which an epoch may grow more than the bare steps do, when the pictures get larger.
COLOUR_TARGET = 1.1


def texts(results: Results) -> dict[str, object]:
    return {
        "test_pictures": as_many_for_testing(int(results.settings["pictures"] or 0)),
        "shape": " x ".join(map(str, COLOUR.shape)),
        "batch_size": BATCH_SIZE,
        "decoded": int(results.median("images", way=ALL_CORES)),
        "cores": judged(
            results.ratio("seconds", {"way": ALL_CORES}, {"way": ONE_CORE}, part="reading")
        ),
    }


def seconds(results: Results, part: str, arch: str, data: str) -> list[float]:
    """Of an epoch with its evaluation, logs and checkpoint, or of bare steps, which
    have none; one a round.
    """
    parts = (
        results.by_round(value, sum, part=part, arch=arch, data=data)
        for value in ("training", "evaluation")
    )
    return [sum(both) for both in zip(*parts, strict=True)]


def growth(results: Results, part: str, arch: str, data: str) -> list[float]:
    """Seconds on a data set, as a multiple of those on MNIST's own files, one a round."""
    own = seconds(results, part, arch, data)
    mnist = seconds(results, part, arch, "MNIST")
    return [one / other for one, other in zip(own, mnist, strict=True)]


def folder_table(results: Results) -> Table:
    """A folder of pictures against MNIST's own files."""
    rows = []
    for arch in results.different("arch", part="epoch"):
        times = []
        for data in ("MNIST", "folder"):
            times.append(f"{median(seconds(results, 'epoch', arch, data)):.2f}")
        measured = ratio(growth(results, "epoch", arch, "folder"))
        rows.append([arch, *times, str(measured), _held(measured, FOLDER_TARGET)])
    header = ["network", "MNIST, s", "folder, s", "folder / MNIST", "target"]
    return Table("An epoch on a folder of pictures, once decoded", header, rows)


def colour_table(results: Results) -> Table:
    """The cost of colour pictures, beside their arithmetic."""
    rows = []
    for arch in results.different("arch", part="epoch"):
        own = results.median("multiply_adds", arch=arch, data="MNIST", part="arithmetic")
        larger = results.median("multiply_adds", arch=arch, data="colour", part="arithmetic")
        bare = growth(results, "bare", arch, "colour")
        epochs = growth(results, "epoch", arch, "colour")
        growths = [judged(ratio(times)) for times in (bare, epochs)]
        proportion = ratio(epochs, bare)
        held = _held(proportion, COLOUR_TARGET)
        rows.append([arch, f"{larger / own:.2f}", *growths, str(proportion), held])
    columns = ["network", "multiply-adds", "bare", "epochs", "epochs / bare"]
    return Table("An epoch on colour pictures", [*columns, "target"], rows)


def reading_table(results: Results) -> Table:
    """How long it takes until images are in memory."""
    rows = []
    for way in WAYS:
        times = results.values("seconds", part="reading", way=way)
        images = results.median("images", part="reading", way=way)
        spread = f"{median(times):.2f} [{min(times):.2f}, {max(times):.2f}]"
        rows.append([way, f"{images:,.0f}", spread, f"{images / median(times):,.0f}"])
    return Table("From files into memory", ["", "images", "seconds", "images per second"], rows)


def _held(measured: Estimate, most: float) -> str:
    return f"at most {most:g}: {at_most(measured, most)}"


PAGE = Page(
    Path(__file__).with_name("pictures.md"),
    {"folder": folder_table, "colour": colour_table, "reading": reading_table},
    texts,
)
