"""What docs/lab/experiments.md says of longer and shorter training, and of the same arithmetic."""

from collections.abc import Sequence

from convblocks.compare.analysis import summarise
from convblocks.figures.estimates import NOTHING, P_VALUE, Estimate, cell, number
from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table
from convblocks.run.result import RunResult
from lab.differences import measured, score_of
from lab.pages.writing import table

# BatchNorm's epochs that take the multiply-adds of five of MaxPool's, and these.
MATCHED = ("5", "18")


def lengths_tables(results: Sequence[RunResult]) -> list[Table]:
    """Both networks after each number of epochs, and BatchNorm with the arithmetic of MaxPool's five."""
    runs = _by_length(results)
    pairs = [(epochs, epochs) for epochs in sorted({length for _, length in runs}, key=int)] + [MATCHED]
    rows = []
    for first, second in pairs:
        maxpool, batchnorm = runs.get(("maxpool", first)), runs.get(("batchnorm", second))
        if not maxpool or not batchnorm:
            continue
        lead = _lead(maxpool, batchnorm)
        rows.append(
            {
                "epochs": first if first == second else f"{first}, and {second} of BatchNorm",
                "maxpool %": cell(summarise(maxpool).score),
                "batchnorm %": cell(summarise(batchnorm).score),
                "maxpool minus batchnorm": f"{lead:+}" if lead else NOTHING,
                "p": number(lead.p, P_VALUE) if lead else NOTHING,
            }
        )
    note = (
        "Each network at the rate that the study chose for five epochs, at which the study itself has twelve runs. The "
        "last line has as many multiply-adds for both networks. p: the study's test, not corrected."
    )
    return [table("", rows, note)]


def lengths_sentence(results: Sequence[RunResult]) -> str:
    """What becomes of the lead, and who leads with the same arithmetic."""
    runs = _by_length(results)
    lengths = sorted({length for _, length in runs} - {MATCHED[1]}, key=int)
    leads = [
        (length, _lead(runs["maxpool", length], runs["batchnorm", length])) for length in (lengths[0], lengths[-1])
    ]
    matched = _lead(runs["maxpool", MATCHED[0]], runs["batchnorm", MATCHED[1]])
    parts = [f"{lead:+u} after {length} epoch{'s' * (length != '1')}" for length, lead in leads if lead]
    same = (
        f" With the same arithmetic, {MATCHED[0]} epochs against {MATCHED[1]}, it is {matched:+u}." if matched else ""
    )
    return f"MaxPool's lead over BatchNorm is {' and '.join(parts)}.{same}"


def _by_length(results: Sequence[RunResult]) -> dict[tuple[str, str], list[RunResult]]:
    return grouped(results, lambda run: (run.arch, dict(run.overrides)["epochs"]))


def _lead(maxpool: Sequence[RunResult], batchnorm: Sequence[RunResult]) -> Estimate | None:
    return measured(score_of(maxpool), maxpool, batchnorm).means
