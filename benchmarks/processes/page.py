"""The tables of what several processes cost, and their page in the documentation."""

import shlex
from pathlib import Path

from benchmarks.processes.communication import (
    NETWORK_BANDWIDTH,
    NETWORK_LATENCY,
    NVLINK_BANDWIDTH,
    NVLINK_LATENCY,
    START,
    Cluster,
    ring_bytes,
    ring_messages,
)
from benchmarks.processes.measure import Measurement
from benchmarks.processes.results import Results
from benchmarks.ratios import RATIOS, UNDECIDED
from convblocks.atomic import write
from convblocks.tables import Table, to_markdown

ABOUT = """\
# What several processes cost

Made from [raw numbers](../data/processes.json), which `python -m benchmarks.processes {arguments}` measured in
{minutes:.0f} minutes on the machine below, with nothing else running.

{machine}; commit {commit}; gloo, one thread in each process.

- `fit`: this project as `scripts/fit.py` runs it with `--threads 1`, and where there are several processes
  `--trainer.devices N --trainer.strategy ddp`. Batch normalisation takes the statistics of the whole batch.
- `plain`: a plain LightningModule in the Trainer with `strategy="ddp"`, or "auto" for one process. The same network,
  the same fused Adam, normalised images in memory and torch's `DistributedSampler`; `self.log` of the loss at every
  step; Lightning's default logger and checkpoints. Batch normalisation is torch's own: each process takes the
  statistics of its own images.

torch's `SyncBatchNorm`, which would be the fair comparison for batchnorm, refuses to run on a CPU. Neither variant
draws a progress bar.

Each measurement runs in fresh processes: first an epoch of some steps that is not timed, then a timed one of as many,
from its start to that of its evaluation. Batch sizes are those of all processes together. The variants alternate in
{rounds} rounds; steps a second are those of the median time.
"""

SCALING = (
    "Strong scaling: {batch_size} images a step, which the processes share. Weak scaling: {batch_size} images for each "
    "process. SIMULATED where there are more processes than CPUs: the processes take turns and wait for each other at "
    "every collective. These rates show that it works, not how fast a machine with enough CPUs would be. Measured once."
)

SENT = (
    "Recorded in the first process by torch's profiler and averaged over an epoch's steps, without the first and last "
    "ones and those that the Trainer logs. Bytes given are those that a process hands over to collectives. Messages "
    "and bytes sent are what it then sends in a ring of n processes: for an all_gather n - 1 messages, each of all the "
    "bytes given; for anything else 2 (n - 1) messages, each of 1 / n of them."
)

CALCULATION = (
    "A CALCULATION, no measurement: how long GPUs would take for the collectives above, one after the other. A step "
    "takes at most this much longer, and less where gradients travel while others are computed. Each collective "
    "takes {start:.1f} µs to start, then its chain of messages around the ring, {nvlink:.1f} µs each within a node and "
    "{network:.1f} µs each between nodes, then its bytes at {nvlink_bandwidth:.0f} GB/s on one node and "
    "{network_bandwidth:.0f} GB/s on two. NCCL 2.28 itself calculates with these numbers for small messages on Hopper "
    "GPUs with NVLink (src/graph/tuning.cc: baseLatencies, hwLatencies, llMaxBws); we assume that a cluster has them. "
    "The time that the processor needs to launch kernels is not included."
)

CLUSTERS = {"8 GPUs": Cluster(1, 8), "2 x 8 GPUs": Cluster(2, 8)}


def write_page(folder: Path, results: Results) -> None:
    """Write the page."""
    write(folder / "processes.md", markdown(results))


def tables(results: Results) -> list[Table]:
    """The comparison first, then what is sent and what that means."""
    return [
        pace_table(results),
        rates_table(results),
        scaling_table(results),
        sent_table(results),
        calculation_table(results),
    ]


def pace_table(results: Results) -> Table:
    """The targets."""
    rows = []
    for arch in results.archs():
        for batch_size in results.batch_sizes():
            one, two = (results.pace(arch, batch_size, processes) for processes in (1, 2))
            rows.append([arch, str(batch_size), str(one), str(two), results.verdict(arch, batch_size)])
    header = ["network", "batch", "1 process", "2 processes", "target for 2 processes"]
    return Table("Steps a second: fit / plain", header, rows, [f"{RATIOS.format(rounds=results.rounds)} {UNDECIDED}"])


def rates_table(results: Results) -> Table:
    """Steps a second, and what the second process brings."""
    rows = []
    for arch in results.archs():
        for batch_size in results.batch_sizes():
            row = [arch, str(batch_size)]
            for variant in ("fit", "plain"):
                one, two = (results.rate(variant, arch, batch_size, processes) for processes in (1, 2))
                row += [f"{one:.1f}", f"{two:.1f}", str(results.gain(variant, arch, batch_size))]
            rows.append(row)
    header = ["network", "batch", *(f"{name}, {what}" for name in ("fit", "plain") for what in ("1", "2", "2 / 1"))]
    return Table("Steps a second, of 1 and of 2 processes", header, rows)


def scaling_table(results: Results) -> Table:
    """The pace of 1 to 8 processes on this machine."""
    rows = [
        [*_place(results, one), f"{one.steps_per_second:.1f}", f"{one.images_per_second:,.0f}"]
        for one in results.recorded
        if one.case.variant == "fit"
    ]
    header = [*PLACE, "steps a second", "images a second"]
    note = SCALING.format(batch_size=results.recorded_batch_size())
    return Table("Scaling of fit on this machine", header, rows, [note])


def sent_table(results: Results) -> Table:
    """Collectives, messages and bytes a step."""
    rows = []
    for one in results.recorded:
        processes = one.case.processes
        if processes == 1 and not one.collectives:
            continue
        sums = {
            "collectives": sum(each.per_step for each in one.collectives),
            "gathering": sum(each.per_step for each in one.collectives if each.gathers),
            "given": sum(each.per_step * each.size for each in one.collectives),
            "messages": sum(each.per_step * ring_messages(each, processes) for each in one.collectives),
            "sent": sum(each.per_step * ring_bytes(each, processes) for each in one.collectives),
        }
        counts = [f"{sums[name]:.2f}" for name in ("collectives", "gathering")]
        amounts = [f"{sums[name]:,.0f}" for name in ("given", "messages", "sent")]
        rows.append([*_place(results, one), one.case.variant, *counts, *amounts])
    amounts = ["bytes given", "messages sent", "bytes sent"]
    return Table("What a step sends", [*PLACE, "variant", "collectives", "all_gathers", *amounts], rows, [SENT])


def calculation_table(results: Results) -> Table:
    """What the collectives that were recorded would cost on GPUs."""
    rows = []
    for arch in results.archs():
        for variant in ("fit", "plain"):
            own = [one for one in results.recorded if (one.case.arch, one.case.variant) == (arch, variant)]
            recorded = max(own, key=lambda one: one.case.processes)
            row = [arch, variant, str(recorded.case.processes)]
            for cluster in CLUSTERS.values():
                latency, transfer = cluster.latency(recorded.collectives), cluster.transfer(recorded.collectives)
                row += [f"{1e6 * (latency + transfer):.0f}", f"{latency / (latency + transfer):.0%}"]
            rows.append(row)
    header = [f"{name}: {what}" for name in CLUSTERS for what in ("µs a step", "of them latency")]
    note = CALCULATION.format(
        start=1e6 * START,
        nvlink=1e6 * NVLINK_LATENCY,
        network=1e6 * NETWORK_LATENCY,
        nvlink_bandwidth=NVLINK_BANDWIDTH / 1e9,
        network_bandwidth=NETWORK_BANDWIDTH / 1e9,
    )
    return Table("What that means on GPUs", ["network", "variant", "recorded with", *header], rows, [note])


def markdown(results: Results) -> str:
    """The whole page."""
    about = ABOUT.format(
        arguments=shlex.join(results.arguments),
        minutes=results.minutes,
        machine=results.machine,
        commit=results.commit or "unknown",
        rounds=results.rounds,
    )
    return f"{about}\n{to_markdown(tables(results))}"


PLACE = ("network", "processes", "scaling")


def _place(results: Results, one: Measurement) -> list[str]:
    """Network, number of processes, and which kind of scaling a measurement belongs to."""
    case, smallest = one.case, results.recorded_batch_size()
    kinds = {"strong": smallest, "weak": smallest * case.processes}
    return [
        case.arch,
        str(case.processes),
        " and ".join(kind for kind, batch_size in kinds.items() if batch_size == case.batch_size),
    ]
