"""The study as tables and sentences."""

from collections.abc import Mapping, Sequence

from convblocks.compare.analysis import Comparison, mean_validation
from convblocks.compare.conclusions import ranking
from convblocks.compare.statistics import mean_interval
from convblocks.compare.tables import results_table
from convblocks.compare.trials import settings_text
from convblocks.figures.curves import wrapped
from convblocks.figures.estimates import MINUS, NOTHING, PERCENT, Estimate, p_text
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.tables import Table
from convblocks.model.names import RECORDS, name_of
from convblocks.record.result import RunResult
from convblocks.text import listed
from lab.claims import claims_tables
from lab.differences import Measured, winner
from lab.estimates import count_text, spread
from lab.intervals import Groups
from lab.results import collapses
from lab.statistics import POWER
from lab.study.decision import EQUIVALENT, PRIMARY, ByImage, Decision, by_cell
from lab.study.plan import FINALISTS, HELD_OUT, MORE_SEEDS, NOTEBOOK, SEEDS, Cell

SWEPT = ("lr", "lr_scheduler")

# The axis of the figure of differences.
POINTS_OF_ACCURACY = (
    "difference in points of test accuracy, with 95 % intervals adjusted for a panel's comparisons"
)

# The beginnings of the sentences on either setting.
AT_BEST = "Each at its own best setting,"
AT_NOTEBOOKS = "At the notebook's setting,"


def choice_table(results: Sequence[RunResult], choices: Mapping[str, Cell]) -> Table:
    """Every setting that was tried, the best first, by held-out images; the test set is
    not in it.
    """
    lines = []
    for arch, own in by_arch(results).items():
        cells = by_cell(own)
        scores = _means(own)
        best = choices.get(arch)
        for cell in sorted(cells, key=lambda own: (own != best, -len(cells[own]), -scores[own])):
            runs = cells[cell]
            trained = [one.validation or 0.0 for one in runs if not one.failed]
            shown = NOTHING
            if trained:
                shown = spread(mean_interval(trained, PERCENT))
            collapsed = count_text(len(runs) - len(trained), len(runs))
            mark = "chosen" if cell == best else ""
            score = f"{100 * scores[cell]:.2f}"
            lines.append([arch, cell_text(cell), score, collapsed, shown, mark])
    notes = [
        f"Accuracy in % on {HELD_OUT:,} training images that were held "
        "out. Settings are ranked by the score, the mean over all "
        "runs; a collapsed run counts with the accuracy that it has. "
        "If trained: mean and standard deviation of the other runs. "
        f"The best {FINALISTS} settings of each network have further "
        "seeds."
    ]
    columns = ["network", "setting", "score", "collapsed", "if trained", ""]
    return Table("The choice", columns, lines, notes)


def settings_of(decision: Decision) -> dict[str, Comparison]:
    """The comparisons at both settings, by what they are called in tables."""
    return {"notebook's setting": decision.at_notebooks, "best setting": decision.at_best}


def decision_tables(decision: Decision) -> list[Table]:
    """The networks at both settings, the notebook's claims at both, and the answers
    image by image.
    """
    settings = settings_of(decision)
    title = "The notebook's setting, and each network's own best one"
    arms = [arm for comparison in settings.values() for arm in comparison.arms]
    results = [run for comparison in settings.values() for run in comparison.results]
    tables = [results_table(title, arms, results, SWEPT), *claims_tables(settings)]
    if decision.by_image:
        tables.append(images_table(decision.by_image))
    return tables


def images_table(found: Sequence[ByImage]) -> Table:
    """The images that only one of two networks gets right, and the difference on new images."""
    lines = [
        [
            f"{one.first} - {one.second}",
            f"{one.only_first:.1f}",
            f"{one.only_second:.1f}",
            f"{one.significant} of {one.pairs}",
            f"{one.new_images:+}",
        ]
        for one in found
    ]
    columns = [
        "networks",
        "only the first\nright",
        "only the second\nright",
        "significant\npairs",
        "new images",
    ]
    notes = [
        "At the best settings: test images that only one network gets "
        "right, means over pairs of runs with one seed. Significant: "
        "p < 0.05 in McNemar's exact test. New images: the difference "
        "in points with other seeds and images, by a bootstrap over "
        "both."
    ]
    return Table("Image by image", columns, lines, notes)


def differences_of(decision: Decision) -> Groups:
    """The differences in accuracy for the figure, whose titles say where they leave
    collapsed runs out.
    """
    groups = {
        "At the notebook's setting": decision.at_notebooks,
        "Each at its own best setting": decision.at_best,
    }
    found = {}
    for title, one in groups.items():
        differences = _differences(one)
        if differences:
            found[f"{title}{_leads(one)}{left_out(one)}"] = differences
    return found


def left_out(comparison: Comparison) -> str:
    """The end of a title of differences of the runs that trained."""
    return ", collapsed runs left out" if any(arm.collapsed for arm in comparison.arms) else ""


def _leads(comparison: Comparison) -> str:
    arch = winner(comparison)
    return f", {name_of(arch)} leads" if arch else ""


def winners(results: Sequence[RunResult]) -> dict[Cell, str]:
    """Which of the two networks of the primary comparison is ahead on held-out images,
    by setting that both have.
    """
    scores = _scores(results)
    if len(scores) < len(PRIMARY):
        return {}
    first, second = (scores[arch] for arch in PRIMARY)
    shared = [cell for cell in first if cell in second and first[cell] != second[cell]]
    return {cell: PRIMARY[first[cell] < second[cell]] for cell in shared}


def winner_sentences(results: Sequence[RunResult]) -> list[str]:
    """Who is ahead at which settings, and whether that takes the best one."""
    found = winners(results)
    if not found:
        return []
    cells = grouped(found, lambda cell: found[cell])
    ahead, *behind = sorted(cells, key=lambda arch: -len(cells[arch]))
    where = f"On held-out images, by means of {len(SEEDS)} or {len(SEEDS + MORE_SEEDS)} runs,"
    if not behind:
        return [f"{where} {name_of(ahead)} leads at all {len(found)} settings."]
    notebooks = {NOTEBOOK: " (the notebook's)"}
    others = [" ".join(cell) + notebooks.get(cell, "") for cell in cells[behind[0]]]
    sentences = [
        f"{where} {name_of(ahead)} leads at {len(cells[ahead])} of "
        f"{len(found)} settings, {name_of(behind[0])} at "
        f"{listed(others)}."
    ]
    scores = _scores(results)
    second = sorted(scores[ahead].values())[-2]
    best = max(scores[behind[0]].values())
    if second > best:
        sentences.append(
            f"On the same images {name_of(ahead)}'s second-best "
            f"setting ({100 * second:.2f} %) is ahead of "
            f"{name_of(behind[0])}'s best ({100 * best:.2f} %), "
            f"by means of {len(SEEDS + MORE_SEEDS)} runs."
        )
    return sentences


def same_peak_sentences(results: Sequence[RunResult]) -> list[str]:
    """Who leads where one cycle goes up to the notebook's rate, if both networks ran that."""
    cell = Cell(NOTEBOOK.lr, "onecycle")
    own = {arch: by_cell(runs).get(cell, []) for arch, runs in by_arch(results).items()}
    first, second = (own.get(arch, []) for arch in PRIMARY)
    if not (first and second):
        return []
    shares = [100 * (mean_validation(runs) or 0.0) for runs in (first, second)]
    names = [name_of(arch) for arch in PRIMARY]
    counts = [count_text(collapses(runs), len(runs)) for runs in (first, second)]
    return [
        f"One cycle helps: up to the same {cell.lr}, "
        f"{names[0]} reaches {shares[0]:.2f} % of the held-out images and {names[1]} "
        f"{shares[1]:.2f} %; {listed(counts)} runs collapsed."
    ]


def _scores(results: Sequence[RunResult]) -> dict[str, dict[Cell, float]]:
    """The mean accuracy on held-out images of both networks at each setting."""
    return {arch: _means(runs) for arch, runs in by_arch(results).items() if arch in PRIMARY}


def _means(results: Sequence[RunResult]) -> dict[Cell, float]:
    return {cell: mean_validation(runs) or 0.0 for cell, runs in by_cell(results).items()}


def winner_titles(results: Sequence[RunResult]) -> dict[str, str]:
    """Titles for the panels of ``sweep_figure`` that say who is ahead at which learning rates."""
    titles = {}
    winner_of = winners(results)
    for schedule, cells in grouped(winner_of, lambda cell: cell.lr_scheduler).items():
        rates = sorted(cells, key=lambda cell: float(cell.lr))
        ahead = [winner_of[cell] for cell in rates]
        changes = [place for place in range(1, len(ahead)) if ahead[place] != ahead[place - 1]]
        found = f"{name_of(ahead[0])} is ahead"
        if len(changes) == 1:
            found += f" up to {rates[changes[0] - 1].lr}, then {name_of(ahead[-1])}"
        elif changes:
            found = "who is ahead changes with the rate"
        titles[f"lr_scheduler={schedule}"] = f"{schedule}:\n{found}"
    return titles


def conclusions(decision: Decision) -> list[str]:
    """The conclusions, in a few sentences."""
    lines = []
    if decision.primary:
        lines.append(_primary(decision, decision.primary))
        for one in decision.by_image[:1]:  # those of the primary comparison
            lines.append(
                f"For new seeds and new images, the difference is estimated as {one.new_images:+u}."
            )
    ranks = ranking(decision.at_notebooks)
    return lines + [f"{AT_NOTEBOOKS} {_continued(line)}" for line in ranks]


def cell_text(cell: Cell) -> str:
    return settings_text(cell.overrides, SWEPT)


def _differences(comparison: Comparison) -> dict[str, Estimate]:
    """Of every two networks, the better minus the other."""
    found = {}
    for one in comparison.differences:
        lead = one.turned() if one.trained and one.trained.value < 0 else one
        if lead.trained:
            found[f"{wrapped(lead.first)} {MINUS} {wrapped(lead.second)}"] = lead.trained
    return found


def _primary(decision: Decision, primary: Measured) -> str:
    cells = {arm.arch: settings_text(arm.overrides, SWEPT) for arm in decision.at_best.arms}
    networks = primary.first, primary.second
    one, other = (f"{name_of(arch)} ({cells[arch]})" for arch in networks)
    numbers = _numbers(decision, primary)
    if decision.ruling == "equivalent":
        return (
            f"{AT_BEST} {one} and {other} are equivalent, within "
            f"{100 * EQUIVALENT:.1f} points: {numbers}."
        )
    if decision.ruling == "undecided":
        found = f"runs of each would find such a difference in {100 * POWER:.0f} % of studies"
        needed = f"; about {decision.needed} {found}" if decision.needed else ""
        return f"{AT_BEST} it is undecided whether {one} or {other} is better: {numbers}{needed}."
    is_first = decision.ruling == "first is better"
    better, worse = (one, other) if is_first else (other, one)
    means = primary.means
    if decision.is_by_means and means:
        lead = means if is_first else -means
        return f"{AT_BEST} {better} is better than {worse} by {lead:u} ({_test(primary, means)})."
    return f"{AT_BEST} {better} is better than {worse}: {numbers}."


def _numbers(decision: Decision, primary: Measured) -> str:
    """The difference by which it was judged, first minus second."""
    ranks = primary.all_runs
    means = primary.means
    if decision.is_by_means and means:
        return f"{primary.first} - {primary.second} {means:+u} ({_test(primary, means)})"
    trained = f"; if trained {means:+}" if means else ""
    return f"{primary.first} wins in {ranks} ({_test(primary, ranks)}{trained})"


def _test(primary: Measured, estimate: Estimate) -> str:
    first, second = primary.runs
    runs = f"{first} and {second} runs"
    if first == second:
        runs = f"{first} runs of each"
    return f"{p_text(estimate.p)}, {runs}"


def _continued(line: str) -> str:
    """A sentence as the end of another one; networks keep their capitals."""
    if line.startswith(tuple(map(name_of, RECORDS))):
        return line
    return f"{line[0].lower()}{line[1:]}"
