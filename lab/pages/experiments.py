"""Makes what written pages show of the experiments in `catalogue.py`, and README's part on them."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from convblocks.figures.grouping import grouped
from convblocks.record.result import RunResult
from convblocks.text import counted, listed
from lab.pages import cause, operations, remedy
from lab.pages.catalogue import EXPERIMENTS, Experiment
from lab.pages.writing import Block, Picture, as_markdown, brief_machine, write_sections
from lab.results import read_results

# The written pages in docs/lab/ with experiments; some have a page of details beside them.
PAGES = tuple(dict.fromkeys(experiment.page for experiment in EXPERIMENTS.values()))
DETAILS = "-details"


def write_experiments_of(page: str, data: Path, out: Path) -> None:
    """Make what a page shows of its experiments, and what its page of details does."""
    lab = out / "docs" / "lab"
    sections, details = {}, {}
    for name, experiment in EXPERIMENTS.items():
        is_trained = experiment.arguments or (data / f"{name}.jsonl").is_file()
        if experiment.page == page and is_trained:
            results = read_results(data / f"{name}.jsonl")
            sections[name] = section(name, experiment, results, data, lab)
            if experiment.details:
                details[name] = as_markdown([experiment.details(results)], lab, level=3)
    write_sections(out, f"docs/lab/{page}.md", sections)
    if details:
        write_sections(out, f"docs/lab/{page}{DETAILS}.md", details)


def write_readme(data: Path, out: Path) -> None:
    """Make README's parts on the collapse: what prevents it, and its cause."""
    interventions = read_results(data / "interventions.jsonl")
    sentences = [
        operations.readme_sentence(interventions),
        cause.readme_sentence(
            read_results(data / "cause.jsonl"), read_results(data / "direction.jsonl")
        ),
        remedy.readme_sentence(read_results(data / "remedy.jsonl")),
    ]
    sections = {
        "picture": operations.caption(interventions),
        "operations": " ".join(filter(None, sentences)),
    }
    write_sections(out, "README.md", sections)


def section(
    name: str, experiment: Experiment, results: Sequence[RunResult], data: Path, lab: Path
) -> str:
    """What the page in a folder shows of an experiment."""
    blocks: list[Block] = []
    if experiment.sentence:
        blocks.append(f"**{experiment.sentence(results)}**")
    if experiment.figure:
        draw, description = experiment.figure
        blocks.append(Picture(name, description, partial(draw, results)))
    records = [results]
    origin = sources(name, results)
    if experiment.control:
        compared = [*filter(experiment.control, read_results(data / "study-confirm.jsonl"))]
        records.append(compared)
        origin += f" The study's: [{len(compared)} runs](../data/study-confirm.jsonl)."
    return as_markdown([*blocks, experiment.tables(*records), origin], lab, level=3)


def sources(name: str, results: Sequence[RunResult]) -> str:
    """The origin of runs in a line: the command that trains them, their file, machines
    with threads, and commits.
    """
    minutes = sum(run.seconds for run in results) / 60
    places = grouped(
        [run.provenance for run in results],
        lambda origin: (brief_machine(origin.place), origin.threads),
    )
    where = "; ".join(
        f"{machine}, {counted(threads, 'thread')}, {_commits([place.commit for place in own])}"
        for (machine, threads), own in places.items()
    )
    command = f"python -m lab.train {name.partition('-')[0]}"
    return (
        f"`{command}`: [{counted(len(results), 'run')}](../data/{name}.jsonl), "
        f"{minutes:.0f} minutes; {where}."
    )


def _commits(commits: Sequence[str | None]) -> str:
    """``commit 4c1fa54`` or ``commits 7ad1756 and b95c198``."""
    different = list(dict.fromkeys(commit or "unknown" for commit in commits))
    noun = "commits" if different[1:] else "commit"
    return f"{noun} {listed(different)}"
