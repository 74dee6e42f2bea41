"""The README's answer, and docs/lab/results.md: which network is better, and all that the study found."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from torch import nn

from convblocks.compare.analysis import Comparison, Summary, mean_validation
from convblocks.compare.figure import comparison_figure
from convblocks.compare.report import finding_of, name_of, over_all_runs
from convblocks.compare.trials import settings_text
from convblocks.figures.estimates import NOTHING, POINTS, number
from convblocks.figures.grouping import by_arch
from convblocks.figures.tables import Table, to_markdown
from convblocks.model.networks import ARCHITECTURES
from convblocks.run.directory import DEAD
from convblocks.run.result import RunResult
from convblocks.text import listed, percent
from lab.benchmarks.pages import picture, save_in_both_themes
from lab.differences import winner
from lab.intervals import intervals_figure
from lab.notebook import compare_networks, differences_table, mean_losses, notebook_table, times_table
from lab.pages.errors import errors_table
from lab.pages.experiments import ALONE, sources
from lab.pages.provenance import CHANGES
from lab.pages.writing import millions, multiply_adds, table, write_page, write_sections
from lab.results import by_overrides, read_results
from lab.study import report
from lab.study.dead_units import dead_unit_sentences, dead_units_figure, dead_units_table, layers
from lab.study.decision import PRIMARY, Decision, cell_of, decide
from lab.study.stages import choices_of
from lab.sweeps import sweep_figure

RATES = (
    "Error on held-out images against the learning rate, at a constant rate and in one cycle: every run a dot, lines "
    "through the means of the runs that trained, collapsed runs crosses"
)
DIFFERENCES = (
    "The differences of the networks in test accuracy, with 95 % intervals; collapsed runs, at the notebook's setting, "
    "are left out"
)
CURVES = (
    "Loss and test error by epoch, every run a line, thick ones the means of the runs that trained, and every run's "
    "final test error, with these means and their 95 % intervals"
)
DEAD_UNITS = "The share of dead units behind each ReLU, by epoch: every run a line, thick ones the medians of all runs"


def write_results(data: Path, out: Path) -> None:
    """Make both from the records of the study's two stages."""
    choice, confirmed = (read_results(data / f"study-{stage}.jsonl") for stage in ("choose", "confirm"))
    choices = choices_of(choice)
    decision = decide(confirmed, choices)
    lab = out / "docs" / "lab"
    save_in_both_themes(partial(sweep_figure, choice, report.winner_titles(choice)), lab / "results.png")
    differences = partial(intervals_figure, report.differences_of(decision), report.POINTS_OF_ACCURACY)
    save_in_both_themes(differences, lab / "differences.png")
    sections = {
        "answer": f"{answer(decision)}\n\n{to_markdown([networks_table(decision, choice)]).strip()}",
        "rates": "\n\n".join([*report.winner_sentences(choice)[:1], picture("docs/lab/results", RATES)]),
    }
    write_sections(out, "README.md", sections)
    found = [*report.conclusions(decision), *report.winner_sentences(choice), *living_sentences(decision)]
    found += [lead_sentence(data), *faster_sentences(decision), *dead_unit_sentences(confirmed, [*choice, *confirmed])]
    write_page(
        lab / "results.md",
        "# Results",
        "Which network is better? [The protocol](protocol.md) says how that is decided, in two stages; [another "
        "page](operations.md) asks which of their operations makes the difference, and tests what prevents MaxPool's "
        "collapse.",
        picture("differences", DIFFERENCES),
        "\n".join(f"- {line}" for line in found),
        sources("study-confirm", confirmed),
        [*report.decision_tables(decision), costs_table(decision), errors_table(data)],
        [of_both_stages(dead_units_table([*choice, *confirmed]))],
        picture("results", RATES),
        [report.choice_table(choice, choices)],
        sources("study-choose", choice),
        "Runs whose commit is unknown were recorded with one that has no `scripts/study.py`, and that cannot have been "
        "theirs.",
        f"{ALONE} {CHANGES}",
        "## At the notebook's setting",
        *setting(lab, "notebook", decision.at_notebooks),
        "## Each network at its own best setting",
        *setting(lab, "best", decision.at_best),
    )


def of_both_stages(table: Table) -> Table:
    return replace(table, notes=(*table.notes, "Of the runs of both stages."))


def answer(decision: Decision) -> str:
    """The README's answer: at the best settings and, with all runs, at the notebook's."""
    best = _ranked(decision.at_best)
    is_plain = decision.is_by_means and not any(arm.collapsed for arm in best)
    if not is_plain or decision.ruling not in ("first is better", "second is better") or best[0].arch not in PRIMARY:
        return " ".join(report.conclusions(decision))
    rival = next(arm for arm in best[1:] if arm.arch in PRIMARY)
    others = listed([f"{name_of(arm.arch)}'s {_percent(arm)}" for arm in best[1:]])
    ahead = winner(decision.at_notebooks)
    return (
        f"{'**It depends on the learning rate.** ' if ahead not in (None, best[0].arch) else ''}"
        f"Tuned, {name_of(best[0].arch)} wins: it gets {_percent(best[0])} of MNIST's test images right, against "
        f"{others}, for {_cost(best[0]) / _cost(rival):.1f} times the arithmetic of {name_of(rival.arch)}. "
        f"At the notebook's constant rate of 0.01 {_at_notebooks(decision, ahead)}"
    )


def _ranked(comparison: Comparison) -> list[Summary]:
    """The networks in the order of the means of their runs that trained."""
    return sorted(comparison.arms, key=lambda arm: -(arm.score.value if arm.score else 0.0))


def _percent(arm: Summary) -> str:
    return percent(arm.score.value) if arm.score else "nothing"


def _cost(arm: Summary) -> int:
    return multiply_adds(ARCHITECTURES[arm.arch]())


def _at_notebooks(decision: Decision, ahead: str | None) -> str:
    """The winner at the notebook's setting, if there is one, and how many runs of which networks collapse."""
    arms = {arm.arch: arm for arm in decision.at_notebooks.arms}
    found = f"{name_of(ahead)} wins with {_percent(arms[ahead])}" if ahead else "no network is certainly the best"
    collapses = []
    for arch, arm in arms.items():
        if arm.collapsed:
            living = living_units(decision, arch)
            others = f", and the others learn with {living} alive" if living else ""
            collapses.append(f"{arm.collapsed} of {arm.runs} runs of {name_of(arch)} collapse to chance{others}")
    return ": ".join(filter(None, [found, "; ".join(collapses)])) + "."


def networks_table(decision: Decision, choice: Sequence[RunResult]) -> Table:
    """A line for each network: what it reaches at both settings, and what it costs."""
    at_notebooks = {arm.arch: arm for arm in decision.at_notebooks.arms}

    def row(best: Summary) -> dict[str, str]:
        notebook = at_notebooks[best.arch]
        counts = f" ({notebook.trained_runs} runs; {notebook.collapsed} collapsed)" if notebook.collapsed else ""
        return {
            "network": best.arch,
            "tuned": f"{_percent(best)} ({settings_text(best.overrides, report.SWEPT)})",
            "at the notebook's setting": f"{_percent(notebook)}{counts}",
            "parameters": f"{best.parameters:,}",
            "multiply-adds": millions(_cost(best)),
            "five epochs": f"{best.seconds:.0f} s",
        }

    tried = min(len({cell_of(run) for run in own}) for own in by_arch(choice).values())
    note = (
        f"Test accuracy: means of the runs that trained. {_with_collapsed(decision)}Tuned: the best of {tried} "
        "settings, chosen on held-out images, with fresh seeds. Time on one CPU core. [Intervals and "
        "machines](docs/lab/results.md), [protocol](docs/lab/protocol.md)."
    )
    return table("", [row(arm) for arm in _ranked(decision.at_best)], note)


def _with_collapsed(decision: Decision) -> str:
    """The order over all runs at the notebook's setting, where it is another question than that of the means."""
    found = over_all_runs(decision.at_notebooks)
    return "".join(f"At the notebook's setting, {sentence[0].lower()}{sentence[1:]} " for sentence in found)


def costs_table(decision: Decision) -> Table:
    """What each network costs."""
    rows = [
        {
            "network": arm.arch,
            "parameters": f"{arm.parameters:,}",
            "multiply-adds an image": f"{_cost(arm):,}",
            "seconds a run, median": f"{arm.seconds:.0f}",
        }
        for arm in decision.at_best.arms
    ]
    note = "Multiply-adds of one forward pass, counted by torchinfo. A run is five epochs and their evaluations."
    return table("What a network costs", rows, note)


def living_sentences(decision: Decision) -> list[str]:
    """How many units live in the worst layer of each network."""
    found = {arm.arch: living_units(decision, arm.arch) for arm in decision.at_notebooks.arms}
    parts = [f"{units} of {name_of(arch)}" for arch, units in found.items() if units]
    return [f"Alive at the notebook's setting in the runs that trained: {', '.join(parts)}."] if parts else []


def living_units(decision: Decision, arch: str) -> str:
    """``1 to 5 of the 64 units of relu2``: after the last epoch, in the worst layer of the runs that trained."""
    trained = [run for run in decision.at_notebooks.results if run.arch == arch and not run.failed]
    shares = {name: [run.epochs[-1][name] for run in trained if name in run.epochs[-1]] for name in layers(trained)}
    if not shares:
        return ""
    worst = max(shares, key=lambda name: median(shares[name]))
    units = dict(zip(shares, widths(arch), strict=True))[worst]
    living = sorted(round(units * (1 - share)) for share in shares[worst])
    counts = f"{living[0]} to {living[-1]}" if living[0] < living[-1] else str(living[0])
    return f"{counts} of the {units} units of {worst.removeprefix(DEAD)}"


def faster_sentences(decision: Decision) -> list[str]:
    """The other measure of speed: the claims at the best settings count seconds."""
    losses = {arm.arch: loss for arm in decision.at_best.arms if (loss := mean_losses(decision.at_best, arm.arch)[0])}
    mlp = losses.get("mlp")
    faster = [arch for arch in PRIMARY if mlp and arch in losses and losses[arch].high < mlp.low]
    found = ", ".join(f"{loss} for {name_of(arch)}" for arch, loss in losses.items())
    names = (
        f"{listed([name_of(arch) for arch in faster])} learn faster than the MLP" if faster else "no network is ahead"
    )
    return [
        f"By the other measure of speed, the loss of the first epoch, at the best settings {names}: {found} (their "
        "learning rates differ)."
    ]


def lead_sentence(data: Path) -> str:
    """What becomes of the lead with better settings and more epochs."""
    setting = compare_networks(read_results(data / "onecycle.jsonl")).differences[0]
    long = by_arch(read_results(data / "candidates-long.jsonl"))
    first, second = (
        max(mean_validation(runs) or 0.0 for runs in by_overrides(long[arch]).values()) for arch in PRIMARY
    )
    lead = (setting if setting.first == PRIMARY[0] else setting.turned()).trained
    return (
        "The lead is that of five epochs at the notebook's other settings. MaxPool minus BatchNorm is "
        f"{f'{lead:+u}' if lead else NOTHING} with [configs/onecycle.yaml](experiments.md#five-epochs), and "
        f"{number(first - second, POINTS, signed=True)} after thirty epochs on held-out images (the better of two "
        "settings each, two runs: too few to decide)."
    )


def widths(arch: str) -> list[int]:
    """The units of each hidden layer of a registered network."""
    layers = [layer for layer in ARCHITECTURES[arch]().modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    return [layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features for layer in layers[:-1]]


def setting(folder: Path, name: str, comparison: Comparison) -> Iterator[str]:
    """The runs at one setting of each network: the curves, the dead units, and the details."""
    results = comparison.results
    curves = partial(comparison_figure, results, finding=finding_of(comparison))
    figures = {"curves": (curves, CURVES), "dead-units": (partial(dead_units_figure, results), DEAD_UNITS)}
    for kind, (figure, description) in figures.items():
        save_in_both_themes(figure, folder / f"{kind}-{name}.png")
        yield picture(f"{kind}-{name}", description)
    details = [notebook_table(comparison), times_table(results), differences_table(comparison)]
    yield to_markdown(details, level=3).strip()
