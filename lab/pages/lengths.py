"""What docs/lab/experiments.md says of longer and shorter training, and of the same arithmetic."""

from collections.abc import Sequence

from convblocks.compare.analysis import summarise
from convblocks.figures.estimates import P_VALUE, Estimate, cell, number
from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table
from convblocks.run.result import RunResult
from lab.differences import measured, score_of
from lab.pages.writing import table

# BatchNorm's epochs that take the multiply-adds of five of MaxPool's, and these.
MATCHED = ("5", "18")

# A network and its number of epochs.
Length = tuple[str, str]


def lengths_tables(results: Sequence[RunResult], study: Sequence[RunResult]) -> list[Table]:
    """Both networks after each number of epochs, and BatchNorm with the arithmetic of MaxPool's five.

    ``study`` are both networks' runs at the settings that the study chose, of five epochs.
    """
    runs = by_length([*results, *study])
    rows = [
        {
            "epochs": first if first == second else f"{first}, and {second} of BatchNorm",
            "maxpool %": cell(summarise(runs["maxpool", first]).score),
            "batchnorm %": cell(summarise(runs["batchnorm", second]).score),
            "maxpool minus batchnorm": f"{(lead := lead_of(runs, first, second)):+}",
            "p": number(lead.p, P_VALUE),
        }
        for first, second in [*((length, length) for length in _lengths(runs)), MATCHED]
    ]
    note = (
        "Each network at the rate that the study chose for five epochs; those of five are the study's. The last line "
        "has as many multiply-adds for both networks. p: the study's test, not corrected."
    )
    return [table("", rows, note)]


def lengths_sentence(results: Sequence[RunResult], study: Sequence[RunResult]) -> str:
    """What becomes of the lead, and who leads with the same arithmetic."""
    runs = by_length([*results, *study])
    shortest, *_, longest = _lengths(runs)
    leads = [
        f"{lead_of(runs, length, length):+u} after {length} epoch{'s' * (length != '1')}"
        for length in (shortest, longest)
    ]
    return (
        f"At the rates tuned for five epochs it is {' and '.join(leads)}. With the same arithmetic, {MATCHED[0]} "
        f"epochs against {MATCHED[1]}, it is {lead_of(runs, *MATCHED):+u}."
    )


def by_length(results: Sequence[RunResult]) -> dict[Length, list[RunResult]]:
    """Runs by network and number of epochs, five if none is given."""
    return grouped(results, lambda run: (run.arch, dict(run.overrides).get("epochs", MATCHED[0])))


def lead_of(runs: dict[Length, list[RunResult]], maxpool: str, batchnorm: str) -> Estimate:
    """MaxPool's lead after so many epochs of each network.

    Raises:
        ValueError: No run of a network trained.
    """
    first, second = runs["maxpool", maxpool], runs["batchnorm", batchnorm]
    lead = measured(score_of(first), first, second).means
    if lead is None:
        raise ValueError(f"of {maxpool} and {batchnorm} epochs no run of a network trained")
    return lead


def _lengths(runs: dict[Length, list[RunResult]]) -> list[str]:
    return sorted({length for _, length in runs} - {MATCHED[1]}, key=int)
