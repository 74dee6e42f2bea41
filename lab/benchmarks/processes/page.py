"""The tables of the cost of several processes, and the targets for this project's pace beside plain Lightning's."""

from pathlib import Path

from convblocks.figures.estimates import Estimate
from convblocks.figures.tables import Table
from lab.benchmarks.pages import Page
from lab.benchmarks.processes import communication
from lab.benchmarks.processes.communication import Cluster, Collective, ring_bytes, ring_messages
from lab.benchmarks.rows import Labels, Results, Row, judged, ratio
from lab.estimates import at_least

# The least that the pace of fit should be of plain's at the smallest batch size; at larger ones, more than there.
TARGETS = {"mlp": 1.2, "maxpool": 1.0, "batchnorm": 0.55}

CLUSTERS = {"8 GPUs": Cluster(1, 8), "2 x 8 GPUs": Cluster(2, 8)}

PLACE = ("network", "processes", "scaling")


def texts(results: Results) -> dict[str, object]:
    return {
        "batch_size": shared(results),
        "recorded_steps": max(results.numbers("steps", part="recorded")),
        "start": f"{1e6 * communication.START:.1f}",
        "nvlink": f"{1e6 * communication.NVLINK_LATENCY:.1f}",
        "network": f"{1e6 * communication.NETWORK_LATENCY:.1f}",
        "nvlink_bandwidth": f"{communication.NVLINK_BANDWIDTH / 1e9:.0f}",
        "network_bandwidth": f"{communication.NETWORK_BANDWIDTH / 1e9:.0f}",
    }


def places(results: Results) -> list[tuple[str, int]]:
    """Networks and batch sizes of the comparison."""
    sizes = results.numbers("batch_size", part="compared")
    return [(arch, size) for arch in results.different("arch", part="compared") for size in sizes]


def pace(results: Results, arch: str, batch_size: int, processes: int) -> Estimate:
    """Steps a second of fit, as a share of plain's: the ratio of the seconds, the other way around."""
    common: Labels = {"part": "compared", "arch": arch, "batch_size": batch_size, "processes": processes}
    return results.ratio("training", {"variant": "plain"}, {"variant": "fit"}, **common)


def verdict(results: Results, arch: str, batch_size: int) -> str:
    """Whether 2 processes meet the target."""
    smallest = min(results.numbers("batch_size", part="compared"))
    if batch_size == smallest:
        return f"at least {TARGETS[arch]:g}: {at_least(pace(results, arch, batch_size, 2), TARGETS[arch])}"
    common: Labels = {"part": "compared", "arch": arch, "processes": 2}
    paces = []
    for size in (batch_size, smallest):
        plain, fit = (
            results.by_round("training", **common, batch_size=size, variant=variant) for variant in ("plain", "fit")
        )
        paces.append([one / other for one, other in zip(plain, fit, strict=True)])
    return f"more than at {smallest}: {at_least(ratio(*paces), 1)}"


def pace_table(results: Results) -> Table:
    """The targets."""
    rows = []
    for arch, size in places(results):
        single, two = (pace(results, arch, size, processes) for processes in (1, 2))
        rows.append([arch, str(size), judged(single), str(two), verdict(results, arch, size)])
    header = ["network", "batch", "1 process", "2 processes", "target for 2 processes"]
    return Table("Steps a second: fit / plain", header, rows)


def rates_table(results: Results) -> Table:
    """Steps a second by the median time of the rounds, and the gain from the second process."""
    rows = []
    for arch, size in places(results):
        place: Labels = {"part": "compared", "arch": arch, "batch_size": size}
        (steps,) = results.numbers("steps", **place)
        row = [arch, str(size), str(steps)]
        for variant in ("fit", "plain"):
            own = place | {"variant": variant}
            row += [f"{steps / results.median('training', **own, processes=processes):.1f}" for processes in (1, 2)]
            row.append(judged(results.ratio("training", {"processes": 1}, {"processes": 2}, **own)))
        rows.append(row)
    header = [
        "network",
        "batch",
        "steps",
        *(f"{name}, {what}" for name in ("fit", "plain") for what in ("1", "2", "2 / 1")),
    ]
    return Table("Steps a second, of 1 and of 2 processes", header, rows)


def scaling_table(results: Results) -> Table:
    """The pace of 1 to 8 processes on this machine."""
    rows = []
    for measured in results.of(part="recorded", variant="fit"):
        rate = _number(measured, "steps") / measured.values["training"]
        rows.append([*_place(results, measured), f"{rate:.1f}", f"{rate * _number(measured, 'batch_size'):,.0f}"])
    return Table("Scaling of fit on this machine", [*PLACE, "steps a second", "images a second"], rows)


def sent_table(results: Results) -> Table:
    """Collectives, messages and bytes a step."""
    rows = []
    for measured in results.of(part="recorded"):
        processes, sent = _number(measured, "processes"), collectives(results, measured)
        if processes == 1 and not sent:
            continue
        counts = [sum(each.per_step for each in sent), sum(each.per_step for each in sent if each.gathers)]
        amounts = [
            sum(each.per_step * each.size for each in sent),
            sum(each.per_step * ring_messages(each, processes) for each in sent),
            sum(each.per_step * ring_bytes(each, processes) for each in sent),
        ]
        numbers = [*(f"{count:.2f}" for count in counts), *(f"{amount:,.0f}" for amount in amounts)]
        rows.append([*_place(results, measured), str(measured.labels["variant"]), *numbers])
    amounts_of = ["bytes given", "messages sent", "bytes sent"]
    return Table("What a step sends", [*PLACE, "variant", "collectives", "all_gathers", *amounts_of], rows)


def calculation_table(results: Results) -> Table:
    """The cost of the recorded collectives on GPUs, of those with most processes."""
    rows = []
    for arch in results.different("arch", part="compared"):
        for variant in ("fit", "plain"):
            cases = results.of(part="recorded", arch=arch, variant=variant)
            most = max(cases, key=lambda case: _number(case, "processes"))
            row = [arch, variant, str(most.labels["processes"])]
            for cluster in CLUSTERS.values():
                sent = collectives(results, most)
                latency, transfer = cluster.latency(sent), cluster.transfer(sent)
                row += [f"{1e6 * (latency + transfer):.0f}", f"{latency / (latency + transfer):.0%}"]
            rows.append(row)
    header = [f"{name}: {what}" for name in CLUSTERS for what in ("µs a step", "of them latency")]
    return Table("What that means on GPUs", ["network", "variant", "recorded with", *header], rows)


def collectives(results: Results, case: Row) -> list[Collective]:
    """The collectives of a recorded case."""
    return [
        Collective(str(row.labels["operation"]), _number(row, "size"), row.values["per_step"])
        for row in results.of(**case.labels | {"part": "collective"})
    ]


def shared(results: Results) -> int:
    """The images of a step of one process, which strong scaling shares."""
    return min(results.numbers("batch_size", part="recorded"))


def _number(row: Row, label: str) -> int:
    return int(row.labels[label] or 0)


def _place(results: Results, row: Row) -> list[str]:
    """Network, number of processes, and which kind of scaling a measurement belongs to."""
    processes, size = _number(row, "processes"), _number(row, "batch_size")
    kinds = {"strong": shared(results), "weak": shared(results) * processes}
    return [str(row.labels["arch"]), str(processes), " and ".join(kind for kind, own in kinds.items() if own == size)]


PAGE = Page(
    Path(__file__).with_name("processes.md"),
    {
        "pace": pace_table,
        "rates": rates_table,
        "scaling": scaling_table,
        "sent": sent_table,
        "calculation": calculation_table,
    },
    texts,
)
