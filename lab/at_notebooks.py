"""How often MaxPool collapses at the notebook's setting, over all experiments that tried it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from convblocks.figures.estimates import share
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab.cause import AS_IS, RATES, arms_of
from lab.mechanism import by_variant
from lab.remedy import by_length
from lab.results import collapses, read_results
from lab.study.decision import PRIMARY, cell_of
from lab.study.plan import NOTEBOOK


def runs_at_notebooks(data: Path) -> dict[str, list[RunResult]]:
    """The runs by experiment: those with seeds of their own, some of 300 steps."""
    study = read_results(data / "study-confirm.jsonl")
    interventions = by_variant(read_results(data / "interventions.jsonl"))
    cause = arms_of(read_results(data / "cause.jsonl"))
    remedy = by_length(read_results(data / "remedy.jsonl"))
    return {
        "in the study": [
            run for run in study if run.arch == PRIMARY[0] and cell_of(run) == NOTEBOOK
        ],
        "among [the variants](collapse.md)": interventions[AS_IS],
        "in [the cause](cause.md)": [*cause[RATES[0]][AS_IS]],
        "in [the remedy](remedy.md)": [*remedy["long"][AS_IS]],
    }


def at_notebooks_sentence(experiments: Mapping[str, Sequence[RunResult]]) -> str:
    """How many runs collapse in each experiment, and in all."""
    runs = [run for own in experiments.values() for run in own]
    counts = [f"{collapses(own)} of {len(own)} {name}" for name, own in experiments.items()]
    return (
        f"MaxPool at the notebook's setting, in four experiments with seeds of their own, of 300 "
        f"steps or five epochs: {listed(counts)} collapse, in all {collapses(runs)} of {len(runs)} "
        f"{share(collapses(runs), len(runs)).interval()}."
    )
