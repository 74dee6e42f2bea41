"""The tables of the cost of several processes, and the targets for this project's pace
beside plain Lightning's.
"""

from collections.abc import Iterator
from itertools import product
from operator import itemgetter
from statistics import median

from convblocks.compare.statistics import Numbers
from convblocks.diagnosis.advice import whole_percent
from convblocks.figures.tables import Table
from lab.benchmarks.processes.communication import (
    NETWORK_BANDWIDTH,
    NETWORK_LATENCY,
    NVLINK_BANDWIDTH,
    NVLINK_LATENCY,
    START,
    Cluster,
    Collective,
)
from lab.benchmarks.rows import Results, judged, ratio
from lab.estimates import at_least, target_text
from lab.pages.writing import Block, origin, table

# The least that the pace of fit should be of plain's at the smallest batch size; at
# larger ones, more than there.
TARGETS = {"mlp": 1.2, "maxpool": 1.0, "batchnorm": 0.55}

CLUSTERS = {"8 GPUs": Cluster(1, 8), "2 x 8 GPUs": Cluster(2, 16)}


def blocks(results: Results) -> list[Block]:
    """The page."""
    return [
        "# What several processes cost",
        f"""
        {origin(__package__, "processes", results, "gloo, one thread per process")}
        [README.md](README.md) explains ratios and verdicts.
        """,
        """
        - `fit`: this project with `--threads 1`, and for several processes `--trainer.devices N
          --trainer.strategy ddp`. Batch normalisation takes the statistics of the whole batch.
        - `plain`: a plain LightningModule with `strategy="ddp"`, the same network, fused Adam and
          images in memory, `self.log` at every step, Lightning's default logger and checkpoints.
          Batch normalisation takes the statistics of each process's own images, since torch's
          `SyncBatchNorm` refuses to run on a CPU.
        """,
        "Neither draws a progress bar. Batch sizes are those of all processes together.",
        [pace_table(results)],
        [rates_table(results)],
        f"Medians of n = {results.rounds} rounds.",
        [calculation_table(results)],
        f"""
        torch's profiler recorded the collectives of a step in the first of these
        processes (SIMULATED: more than this machine has CPUs). The last columns are a
        CALCULATION, no measurement: how long GPUs in a ring would take for the
        collectives one after the other, and the share of latency. A step takes at most
        this much longer. A collective takes {1e6 * START:.1f} µs to start,
        {1e6 * NVLINK_LATENCY:.1f} µs for each message within a node and
        {1e6 * NETWORK_LATENCY:.1f} µs between nodes, and its bytes travel at
        {NVLINK_BANDWIDTH / 1e9:.0f} GB/s on one node and {NETWORK_BANDWIDTH / 1e9:.0f}
        GB/s on two: NCCL 2.28's own model for small messages on Hopper GPUs with NVLink
        (src/graph/tuning.cc).
        """,
    ]


def places(results: Results) -> Iterator[tuple[str, int]]:
    """Networks and batch sizes of the comparison."""
    sizes = results.different("batch_size", part="compared")
    return product(results.different("arch", part="compared"), sorted(sizes))


def paces(results: Results, arch: str, batch_size: int, processes: int) -> Numbers:
    """Steps per second of fit, as a share of plain's, in each round: the ratio of the
    seconds, the other way around.
    """
    plain, fit = (
        results.values(
            "training",
            part="compared",
            variant=variant,
            arch=arch,
            batch_size=batch_size,
            processes=processes,
        )
        for variant in ("plain", "fit")
    )
    return plain / fit


def verdict(results: Results, arch: str, batch_size: int) -> str:
    """Whether 2 processes meet the target."""
    smallest = min(results.different("batch_size", part="compared"))
    two = paces(results, arch, batch_size, 2)
    if batch_size == smallest:
        return target_text(ratio(two), "at least", TARGETS[arch])
    gain = ratio(two, paces(results, arch, smallest, 2))
    return f"more than at {smallest}: {at_least(gain, 1)}"


def pace_table(results: Results) -> Table:
    """The targets."""
    rows = []
    for arch, size in places(results):
        single, two = (ratio(paces(results, arch, size, count)) for count in (1, 2))
        rows.append(
            {
                "network": arch,
                "batch": str(size),
                "1 process": judged(single),
                "2 processes": str(two),
                "target for 2 processes": verdict(results, arch, size),
            }
        )
    return table("Steps per second: fit / plain", rows)


def rates_table(results: Results) -> Table:
    """Steps per second of ``fit`` by the median time of the rounds, and the gain from
    the second process.
    """
    rows = []
    for arch, size in places(results):
        own = {"part": "compared", "arch": arch, "batch_size": size, "variant": "fit"}
        (steps,) = results.different("steps", **own)
        single, two = (results.values("training", **own, processes=count) for count in (1, 2))
        rows.append(
            {
                "network": arch,
                "batch": str(size),
                "1 process": f"{steps / median(single):.1f}",
                "2 processes": f"{steps / median(two):.1f}",
                "2 / 1": judged(ratio(single, two)),
            }
        )
    return table("Steps per second of fit", rows)


def calculation_table(results: Results) -> Table:
    """What a step sends, and the cost of that on GPUs: of the recorded case with most processes."""
    rows = []
    archs = results.different("arch", part="compared")
    for arch, variant in product(archs, ("fit", "plain")):
        cases = results.of(part="recorded", arch=arch, variant=variant)
        labels = max((case.labels for case in cases), key=itemgetter("processes"))
        sent = [
            Collective(row.labels["operation"], row.labels["size"], row.values["per_step"])
            for row in results.of(**labels | {"part": "collective"})
        ]
        row = {
            "network": arch,
            "variant": variant,
            "processes": str(labels["processes"]),
            "collectives": f"{sum(each.per_step for each in sent):.1f}",
        }
        for name, cluster in CLUSTERS.items():
            latency = sum(each.per_step * cluster.latency(each) for each in sent)
            whole = latency + sum(each.per_step * cluster.transfer(each) for each in sent)
            row[f"µs on {name}"] = f"{1e6 * whole:.0f} ({whole_percent(latency / whole)})"
        rows.append(row)
    return table("What a step sends, and what that would take on GPUs", rows)
