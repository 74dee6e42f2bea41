"""The tables of the cost of pictures: ratios within a round, and their targets."""

from statistics import median

from convblocks.compare.statistics import Numbers
from convblocks.figures.tables import Table
from lab.benchmarks.noise import for_testing
from lab.benchmarks.pictures.data import COLOUR, PHOTOGRAPH, SCALED
from lab.benchmarks.pictures.measure import ALL_CORES, ONE_CORE, WAYS
from lab.benchmarks.rows import Results, judged, ratio
from lab.benchmarks.training.ways import BATCH_SIZE
from lab.estimates import target_text
from lab.pages.writing import Block, origin, table

# The most that a turn on a folder of pictures may take of one on MNIST's own files.
FOLDER_TARGET = 1.05

# The most by which a turn may grow more than the bare steps do, when the pictures get larger.
COLOUR_TARGET = 1.1


def blocks(results: Results) -> list[Block]:
    """The page."""
    settings = results.settings
    where = origin(__package__, "pictures", results, f"{settings['threads']} threads")
    cores = results.ratio("seconds", {"way": ALL_CORES}, {"way": ONE_CORE}, part="reading")
    return [
        "# What pictures cost",
        f"""
        {where} n = {results.rounds} rounds; [README.md](README.md) explains ratios and
        verdicts.
        """,
        f"""
        - `MNIST`: MNIST's own four files.
        - `folder`: {settings["pictures"]:,} training and
          {for_testing(settings["pictures"]):,} test images of MNIST as PNG files,
          decoded once.
        - `colour`: as many pictures of {" x ".join(map(str, COLOUR.shape))}, of random content.
        """,
        f"""
        A turn of `fit` is a short epoch of `scripts/fit.py` at batch size {BATCH_SIZE}:
        {results.turns(part="epoch")}, the same share of evaluation, logs and
        checkpoint. `bare` is as many steps of the network and its optimizer over one
        batch.
        """,
        [folder_table(results)],
        [colour_table(results)],
        """
        How many times as much colour pictures take as MNIST. A turn costs in proportion
        to its arithmetic if it grows as bare steps do.
        """,
        [reading_table(results)],
        f"""
        By a fresh process each time; median, least and most. All files were in the
        system's cache. A folder is decoded once; later runs read the kept file. The
        photographs, {" x ".join(map(str, PHOTOGRAPH))} JPEG files of noise with as many
        bytes a pixel as photographs have, are scaled to {" x ".join(map(str, SCALED))} by
        all cores in each epoch, as pictures that do not fit into memory are.
        Decoding on all cores, as a multiple of one: {judged(cores)}.
        """,
    ]


def seconds(results: Results, part: str, arch: str, data: str) -> Numbers:
    """Of an epoch with its evaluation, logs and checkpoint, or of bare steps, which
    have none; one a round.
    """
    own = {"part": part, "arch": arch, "data": data}
    return results.values("training", **own) + results.values("evaluation", **own)


def folder_table(results: Results) -> Table:
    """A folder of pictures against MNIST's own files."""
    rows = []
    for arch in results.different("arch", part="epoch"):
        mnist, folder = (seconds(results, "epoch", arch, data) for data in ("MNIST", "folder"))
        measured = ratio(folder, mnist)
        rows.append(
            {
                "network": arch,
                "MNIST, s": f"{median(mnist):.2f}",
                "folder, s": f"{median(folder):.2f}",
                "folder / MNIST": str(measured),
                "target": target_text(measured, "at most", FOLDER_TARGET),
            }
        )
    return table("A turn on a folder of pictures, once decoded", rows)


def colour_table(results: Results) -> Table:
    """The cost of colour pictures, beside their arithmetic."""
    rows = []
    for arch in results.different("arch", part="epoch"):
        own, larger = (
            results.median("multiply_adds", part="arithmetic", arch=arch, data=data)
            for data in ("MNIST", "colour")
        )
        bare, fit = (
            seconds(results, part, arch, "colour") / seconds(results, part, arch, "MNIST")
            for part in ("bare", "epoch")
        )
        proportion = ratio(fit, bare)
        rows.append(
            {
                "network": arch,
                "multiply-adds": f"{larger / own:.2f}",
                "bare": judged(ratio(bare)),
                "fit": judged(ratio(fit)),
                "fit / bare": str(proportion),
                "target": target_text(proportion, "at most", COLOUR_TARGET),
            }
        )
    return table("A turn on colour pictures", rows)


def reading_table(results: Results) -> Table:
    """How long it takes until images are in memory."""
    rows = []
    for way in WAYS:
        times = results.values("seconds", part="reading", way=way)
        images = results.median("images", part="reading", way=way)
        rows.append(
            {
                "": way,
                "images": f"{images:,.0f}",
                "seconds": f"{median(times):.2f} [{min(times):.2f}, {max(times):.2f}]",
                "images per second": f"{images / median(times):,.0f}",
            }
        )
    return table("From files into memory", rows)
