"""The README's answer, and docs/lab/results.md: which network is better, and all that
the study found.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from statistics import median

from convblocks.compare.analysis import Comparison, Summary, compare
from convblocks.compare.conclusions import finding_of, over_all_runs
from convblocks.compare.figure import comparison_figure
from convblocks.compare.trials import settings_text
from convblocks.figures.estimates import CONFIDENCE, NOTHING, POINTS, Estimate, cell, number
from convblocks.figures.grouping import by_arch
from convblocks.figures.tables import Table, to_markdown
from convblocks.model.names import name_of
from convblocks.model.networks import ARCHITECTURES
from convblocks.record.directory import DEAD
from convblocks.record.result import RunResult
from convblocks.text import listed, percent
from lab.at_notebooks import at_notebooks_sentence, runs_at_notebooks
from lab.claims import GOAL, NOTEBOOK, NOTEBOOK_MLP, claims_tables, mean_losses
from lab.differences import winner
from lab.estimates import spread
from lab.intervals import intervals_figure
from lab.pages.errors import errors_table
from lab.pages.experiments import sources
from lab.pages.factorial import readme_sentence
from lab.pages.settings import at_measured_speed, share_text
from lab.pages.writing import Picture, millions, multiply_adds, table, write_page, write_sections
from lab.results import collapses, read_results, time_to
from lab.statistics import spread_of
from lab.study import report
from lab.study.dead_units import dead_unit_sentences, dead_units_figure, living_units
from lab.study.decision import PRIMARY, Decision, cell_of, decide
from lab.study.plan import FINALISTS, HELD_OUT, MORE_SEEDS, SEEDS
from lab.study.stages import choices_of
from lab.sweeps import sweep_figure

# The network of README's first command.
FIRST = "maxpool"

RATES = (
    "Error on held-out images against the learning rate, at a constant rate and "
    "in one cycle: every run a mark, lines through the means of the runs that "
    "trained, collapsed runs crosses"
)
DIFFERENCES = (
    "The differences of the networks in test accuracy, without collapsed runs, "
    "with 95 % intervals that are adjusted for their number"
)
CURVES = (
    "Loss and test error by epoch, and every run's final test error, with means and 95 % intervals"
)
DEAD_UNITS = "The share of dead units behind each ReLU, by epoch"
SECONDS = (
    "Seconds: those of an epoch on one thread, measured once for each network "
    "([performance.md](performance.md)), times epochs."
)


def write_results(data: Path, out: Path) -> None:
    """Make both from the records of the study's two stages."""
    choice = read_results(data / "study-choose.jsonl")
    recorded = read_results(data / "study-confirm.jsonl")
    confirmed = at_measured_speed(recorded, data)
    decision = decide(confirmed, choices_of(choice))
    lab = out / "docs" / "lab"
    sweep = partial(sweep_figure, choice, report.winner_titles(choice))
    differences = partial(
        intervals_figure, report.differences_of(decision), report.POINTS_OF_ACCURACY
    )
    at_notebooks = runs_at_notebooks(data)
    sections = {
        "question": f"**{question(decision, [*chain(*at_notebooks.values())])}**",
        "mended": mended(decision),
        "answer": (
            f"{answer(decision)} {readme_sentence(read_results(data / 'factorial.jsonl'))}\n\n"
            f"{to_markdown([networks_table(decision, choice)]).strip()}"
        ),
    }
    write_sections(out, "README.md", sections)
    over_all = over_all_runs(decision.at_notebooks)
    further = [
        *report.winner_sentences(choice),
        *report.same_peak_sentences(choice),
        lead_sentence(data),
        *(f"{report.AT_NOTEBOOKS} {line[0].lower()}{line[1:]}" for line in over_all),
        at_notebooks_sentence(at_notebooks),
        living_sentence(decision),
        *dead_unit_sentences(confirmed, [*choice, *confirmed])[1:],
    ]
    write_page(
        lab / "results.md",
        "# Results",
        opening(decision),
        [reached_table(decision)],
        Picture("differences", DIFFERENCES, differences),
        sources("study-confirm", recorded),
        "## What else was found",
        "\n".join(f"- {line}" for line in further),
        [*claims_tables(report.settings_of(decision)), losses_table(decision)],
        [report.images_table(decision.by_image), spread_table(decision), errors_table(data)],
        "## At the notebook's setting",
        *curves("notebook", decision.at_notebooks),
        "## Each network at its own best setting",
        *curves("best", decision.at_best),
        "## The choice",
        Picture("results", RATES, sweep),
        f"Errors are those on {HELD_OUT:,} held-out training images. A setting has "
        f"{len(SEEDS)} runs, and {len(SEEDS + MORE_SEEDS)} if it was among a "
        f"network's best {FINALISTS}; marks stand side by side. Lines pass through "
        "the means of the runs that trained, even where only one did.",
        sources("study-choose", choice),
    )


def opening(decision: Decision) -> str:
    """The question, the answer at both settings, how certain it is, and where to read on."""
    best, new, *_ = report.conclusions(decision)
    return (
        "Which of the course's networks reads the most of MNIST's test digits "
        f"after five epochs? {best} {_lead_at_notebooks(decision)} {new} [The "
        "protocol](protocol.md) says how this was decided, "
        "[operations.md](operations.md) which operation makes the difference, and "
        "[README.md](README.md) what intervals mean and how to repeat the runs."
    )


def _lead_at_notebooks(decision: Decision) -> str:
    """Who leads at the notebook's setting, and how many runs of which networks collapsed."""
    best = _ranked(decision.at_notebooks)[0]
    leads = "leads" if winner(decision.at_notebooks) == best.arch else "has the highest mean"
    return (
        f"At the notebook's constant rate of 0.01, {name_of(best.arch)} {leads} with "
        f"{_percent(best)}, and {_collapses_at_notebooks(decision)}."
    )


def _collapses_at_notebooks(decision: Decision) -> str:
    collapses = [
        f"{arm.collapsed} of {arm.runs} {name_of(arm.arch)} runs "
        f"{arm.trained.complement().interval()}"
        for arm in decision.at_notebooks.arms
        if arm.collapsed
    ]
    return f"{listed(collapses) or 'no runs'} collapse"


def reached_table(decision: Decision) -> Table:
    """A line for each network: what it reaches at both settings, with intervals, and
    what it costs.
    """
    at_notebooks = _arms(decision.at_notebooks)
    rows = []
    for best in _ranked(decision.at_best):
        rows.append(
            {
                "network": best.arch,
                "tuned %": _reached(best),
                "setting": settings_text(best.overrides, report.SWEPT),
                "notebook's setting %": _reached(at_notebooks[best.arch]),
                "parameters": f"{best.parameters:,}",
                "multiply-adds": millions(_cost(best)),
                "seconds per run": f"{best.seconds:.1f}",
            }
        )
    note = (
        "Test accuracy: means of the runs that trained, and how many did. Tuned: "
        "at the setting that was best on held-out images. Multiply-adds are those "
        f"of one image. {SECONDS}"
    )
    return table("", rows, note)


def _reached(arm: Summary) -> str:
    return f"{cell(arm.score)}, {arm.trained_runs} of {arm.runs}"


def losses_table(decision: Decision) -> Table:
    """Losses and accuracy at both settings, beside what the notebook prints, and when
    runs got to GOAL.
    """
    rows = []
    for title, comparison in report.settings_of(decision).items():
        for arm in comparison.arms:
            runs = runs_of(arm.arch, comparison)
            first, last = mean_losses(comparison, arm.arch)
            times = [time_to(run, GOAL) for run in runs]
            reached = [time for time in times if time]
            seconds = f", {median(reached):.1f} s" if reached else ""
            rows.append(
                [
                    f"{arm.arch}, {title}",
                    cell(first),
                    cell(last),
                    spread(arm.score) if arm.score else NOTHING,
                    f"{len(reached)} of {len(runs)}{seconds}",
                ]
            )
    rows.insert(1, [NOTEBOOK, *NOTEBOOK_MLP, NOTHING])
    columns = [
        "network",
        "epoch-1 train loss",
        "last train loss",
        "test accuracy %",
        f"{share_text(GOAL)} after any epoch",
    ]
    note = (
        "Accuracies with standard deviations; times are medians of the runs that "
        f"got there. {SECONDS}"
    )
    return Table("Losses, accuracies and speed", columns, rows, [note])


def spread_table(decision: Decision) -> Table:
    """How much test accuracies differ between seeds, and how much they would if errors
    were independent.
    """
    rows = []
    for title, comparison in report.settings_of(decision).items():
        for arm in comparison.arms:
            found = spread_of(runs_of(arm.arch, comparison))
            if not found:
                continue
            seen = Estimate(found.seen, found.low, found.high, unit=POINTS)
            rows.append(
                {
                    "network": f"{arm.arch}, {title}",
                    "n": str(found.n),
                    "sd between seeds": str(seen),
                    "if errors were independent": number(found.independent, POINTS),
                }
            )
    misses = 1 - CONFIDENCE ** len(rows)
    note = (
        "Of the runs that trained, in points. If each image were wrong with a "
        "probability of its own, accuracies would still differ by the last column "
        "(Jordan 2024). What exceeds it is how much whole runs differ. At least "
        f"one of {len(rows)} intervals misses in {100 * misses:.0f} % of studies."
    )
    return table("Spread between seeds", rows, note)


def question(decision: Decision, at_notebooks: Sequence[RunResult]) -> str:
    """README's first sentence, with all of the best network's runs at the notebook's setting."""
    best = _ranked(decision.at_best)[0]
    assert best.score, "no run trained"
    return (
        f"Tuned, a small network reads {100 * best.score.value:.1f} % of MNIST's handwritten "
        f"digits; at a course's learning rate, {collapses(at_notebooks)} of "
        f"{len(at_notebooks)} runs give every digit the same answer. Why?"
    )


def mended(decision: Decision) -> str:
    """The command that trains README's first network at its best setting, and what comes of it."""
    arm = _arms(decision.at_best)[FIRST]
    given = dict(arm.overrides)
    options = " ".join(f"--{name} {given[name]}" for name in report.SWEPT)
    living = living_units(runs_of(FIRST, decision.at_best), f"{DEAD}relu2")
    assert living, "runs have no shares of dead units"
    return (
        f"```bash\npython scripts/fit.py --arch {FIRST} {options}\n```\n\n"
        f"It reads {_percent(arm)} of the test images over {arm.trained_runs} seeds; "
        f"{living.text} live."
    )


def runs_of(arch: str, comparison: Comparison) -> list[RunResult]:
    return [run for run in comparison.results if run.arch == arch]


def answer(decision: Decision) -> str:
    """The README's answer: at the best settings, and at the notebook's."""
    primary = decision.primary
    ahead = winner(decision.at_notebooks)
    is_decided = decision.is_by_means and decision.ruling == "first is better"
    if not (primary and is_decided and ahead == PRIMARY[1]):
        return " ".join(report.conclusions(decision))
    best, rival = (_arms(decision.at_best)[arch] for arch in PRIMARY)
    return (
        f"**It depends on the learning rate:** each tuned, {name_of(best.arch)} "
        f"leads by {primary.trained:u} with {_cost(best) / _cost(rival):.1f} times "
        f"the multiply-adds; at the notebook's constant rate {name_of(ahead)} leads, and "
        f"{_collapses_at_notebooks(decision)}."
    )


def _arms(comparison: Comparison) -> dict[str, Summary]:
    return {arm.arch: arm for arm in comparison.arms}


def _ranked(comparison: Comparison) -> list[Summary]:
    """The networks in the order of the means of their runs that trained."""
    return sorted(comparison.arms, key=lambda arm: -(arm.score.value if arm.score else 0.0))


def _percent(arm: Summary) -> str:
    return percent(arm.score.value) if arm.score else "nothing"


def _cost(arm: Summary) -> int:
    return multiply_adds(ARCHITECTURES[arm.arch]())


def networks_table(decision: Decision, choice: Sequence[RunResult]) -> Table:
    """A line for each network: what it reaches at both settings, and what it costs."""
    rows = []
    for best in _ranked(decision.at_best):
        notebook = _arms(decision.at_notebooks)[best.arch]
        counts = f" ({notebook.collapsed} of {notebook.runs} collapse)"
        rows.append(
            {
                "network": f"`{best.arch}`",
                "tuned": f"{_percent(best)} ({settings_text(best.overrides, report.SWEPT)})",
                "at the notebook's setting": _percent(notebook)
                + (counts if notebook.collapsed else ""),
                "parameters": f"{best.parameters:,}",
                "multiply-adds": millions(_cost(best)),
            }
        )
    tried = min(len({cell_of(run) for run in own}) for own in by_arch(choice).values())
    note = (
        f"Mean test accuracy of {min(arm.runs for arm in decision.at_best.arms)} "
        f"runs, without collapsed ones; tuned: best of {tried} settings on "
        "held-out images. Brackets: [95 % intervals](docs/lab/results.md), where true values "
        "probably lie."
    )
    return table("", rows, note)


def living_sentence(decision: Decision) -> str:
    """How many units live in the worst layer of each network."""
    parts = []
    for arch in _arms(decision.at_notebooks):
        units = living_units(runs_of(arch, decision.at_notebooks))
        if units:
            parts.append(f"{units.text} of {name_of(arch)}")
    return f"Alive at the notebook's setting, in the runs that trained: {', '.join(parts)}."


def lead_sentence(data: Path) -> str:
    """What becomes of the lead with better settings."""
    setting = compare(read_results(data / "onecycle.jsonl")).differences[0]
    lead = (setting if setting.first == PRIMARY[0] else setting.turned()).trained
    return (
        "With augmentation, label smoothing and weight decay "
        "([configs/onecycle.yaml](experiments.md#five-epochs)), MaxPool minus "
        f"BatchNorm is {f'{lead:+u}' if lead else NOTHING} ({setting.n})."
    )


def curves(name: str, comparison: Comparison) -> Iterator[Picture]:
    """The runs at one setting of each network: their curves, and the dead units."""
    results = comparison.results
    adjusted = f"adjusted for {len(comparison.differences)} comparisons"
    finding = f"{finding_of(comparison)}, {adjusted}{report.left_out(comparison)}"
    drawn = partial(comparison_figure, results, finding=finding)
    yield Picture(f"curves-{name}", CURVES, drawn)
    dead = partial(dead_units_figure, results)
    yield Picture(f"dead-units-{name}", DEAD_UNITS, dead)
