"""The tables of the cost of several processes, and the targets for this project's pace
beside plain Lightning's.
"""

from convblocks.diagnosis.advice import whole_percent
from convblocks.figures.estimates import Estimate
from convblocks.figures.tables import Table
from lab.benchmarks.processes import communication
from lab.benchmarks.processes.communication import Cluster, Collective
from lab.benchmarks.rows import Labels, Results, Row, judged, ratio
from lab.estimates import at_least, target_text
from lab.pages.writing import Block, origin

# The least that the pace of fit should be of plain's at the smallest batch size; at
# larger ones, more than there.
TARGETS = {"mlp": 1.2, "maxpool": 1.0, "batchnorm": 0.55}

CLUSTERS = {"8 GPUs": Cluster(1, 8), "2 x 8 GPUs": Cluster(2, 8)}


def blocks(results: Results) -> list[Block]:
    """The page."""
    start, nvlink, network = (
        f"{1e6 * seconds:.1f} µs"
        for seconds in (
            communication.START,
            communication.NVLINK_LATENCY,
            communication.NETWORK_LATENCY,
        )
    )
    within, between = (
        f"{bandwidth / 1e9:.0f} GB/s"
        for bandwidth in (communication.NVLINK_BANDWIDTH, communication.NETWORK_BANDWIDTH)
    )
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
        torch's profiler recorded the collectives of a step in the first of these processes
        (SIMULATED: more than this machine has CPUs). The last columns are a CALCULATION, no
        measurement: how long GPUs in a ring would take for the collectives one after the other, and
        the share of latency. A step takes at most this much longer. A collective takes {start} to
        start, {nvlink} for each message within a node and {network} between nodes, and its bytes
        travel at {within} on one node and {between} on two: NCCL 2.28's own model for small
        messages on Hopper GPUs with NVLink (src/graph/tuning.cc).
        """,
    ]


def places(results: Results) -> list[tuple[str, int]]:
    """Networks and batch sizes of the comparison."""
    sizes = results.numbers("batch_size", part="compared")
    return [(arch, size) for arch in results.different("arch", part="compared") for size in sizes]


def pace(results: Results, arch: str, batch_size: int, processes: int) -> Estimate:
    """Steps per second of fit, as a share of plain's: the ratio of the seconds, the
    other way around.
    """
    common: Labels = {
        "part": "compared",
        "arch": arch,
        "batch_size": batch_size,
        "processes": processes,
    }
    return results.ratio("training", {"variant": "plain"}, {"variant": "fit"}, **common)


def verdict(results: Results, arch: str, batch_size: int) -> str:
    """Whether 2 processes meet the target."""
    smallest = min(results.numbers("batch_size", part="compared"))
    if batch_size == smallest:
        return target_text(pace(results, arch, batch_size, 2), "at least", TARGETS[arch])
    common: Labels = {"part": "compared", "arch": arch, "processes": 2}
    paces = []
    for size in (batch_size, smallest):
        plain = results.by_round("training", **common, batch_size=size, variant="plain")
        fit = results.by_round("training", **common, batch_size=size, variant="fit")
        paces.append([one / other for one, other in zip(plain, fit, strict=True)])
    return f"more than at {smallest}: {at_least(ratio(*paces), 1)}"


def pace_table(results: Results) -> Table:
    """The targets."""
    rows = []
    for arch, size in places(results):
        single = pace(results, arch, size, processes=1)
        two = pace(results, arch, size, processes=2)
        rows.append([arch, str(size), judged(single), str(two), verdict(results, arch, size)])
    header = ["network", "batch", "1 process", "2 processes", "target for 2 processes"]
    return Table("Steps per second: fit / plain", header, rows)


def rates_table(results: Results) -> Table:
    """Steps per second of ``fit`` by the median time of the rounds, and the gain from
    the second process.
    """
    rows = []
    for arch, size in places(results):
        own: Labels = {"part": "compared", "arch": arch, "batch_size": size, "variant": "fit"}
        (steps,) = results.numbers("steps", **own)
        rates = [
            f"{steps / results.median('training', **own, processes=processes):.1f}"
            for processes in (1, 2)
        ]
        gain = judged(results.ratio("training", {"processes": 1}, {"processes": 2}, **own))
        rows.append([arch, str(size), *rates, gain])
    header = ["network", "batch", "1 process", "2 processes", "2 / 1"]
    return Table("Steps per second of fit", header, rows)


def calculation_table(results: Results) -> Table:
    """What a step sends, and the cost of that on GPUs: of the recorded case with most processes."""
    rows = []
    for arch in results.different("arch", part="compared"):
        for variant in ("fit", "plain"):
            cases = results.of(part="recorded", arch=arch, variant=variant)
            most = max(cases, key=lambda case: _number(case, "processes"))
            sent = collectives(results, most)
            row = [arch, variant, str(most.labels["processes"])]
            row.append(f"{sum(each.per_step for each in sent):.1f}")
            for cluster in CLUSTERS.values():
                latency = cluster.latency(sent)
                whole = latency + cluster.transfer(sent)
                row.append(f"{1e6 * whole:.0f} ({whole_percent(latency / whole)})")
            rows.append(row)
    columns = [
        "network",
        "variant",
        "processes",
        "collectives",
        *(f"µs on {name}" for name in CLUSTERS),
    ]
    return Table("What a step sends, and what that would take on GPUs", columns, rows)


def collectives(results: Results, case: Row) -> list[Collective]:
    """The collectives of a recorded case."""
    return [
        Collective(str(row.labels["operation"]), _number(row, "size"), row.values["per_step"])
        for row in results.of(**case.labels | {"part": "collective"})
    ]


def _number(row: Row, label: str) -> int:
    return int(row.labels[label] or 0)
