"""What a search has found, as tables, pictures and TensorBoard's HParams."""

import shlex
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from matplotlib.figure import Figure
from optuna import Study
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial
from torch.utils.tensorboard import SummaryWriter

from convblocks.atomic import write
from convblocks.comparison.statistics import SIGNIFICANCE
from convblocks.comparison.trials import command_line, settings_for
from convblocks.comparison.wording import NOTHING, accuracy_text, difference_text, number, p_text, settings_text, signed
from convblocks.console import echo, echo_command
from convblocks.evaluation.drawing import CARD, drawn, save
from convblocks.runs.tags import VISUALS, tag_when_done
from convblocks.search.confirm import Confirmed
from convblocks.search.figure import search_cards, search_figure
from convblocks.search.plan import ARCH, Plan
from convblocks.search.space import VAL_SIZE
from convblocks.search.study import COLLAPSED, FAILED, best_first, how_it_ended
from convblocks.tables import Table, as_csv, as_json, as_shown, percent, terminal, to_console, to_markdown

BEST = 10

# With fewer complete trials an importance is mostly chance.
ENOUGH_FOR_IMPORTANCE = 20


def report(plan: Plan, study: Study, confirmed: Sequence[Confirmed]) -> None:
    """Write the report beside the trials and into TensorBoard, and print its tables."""
    trials = study.get_trials(deepcopy=False)
    importance = importance_of(study)
    tables = [best_table(plan, trials), *([confirmed_table(plan, confirmed)] if confirmed else [])]
    tables += [importance_table(importance, trials)] if importance else []
    path = plan.directory().path / "search"
    draw = partial(search_figure, trials, plan.dimensions(), importance)
    save(draw, path.with_suffix(".png"))
    command = winner(plan, trials)
    said = [conclusion(one) for one in confirmed[:1] if one.seen is not None] + [WINNER]
    markdown = "\n".join([to_markdown(tables), *(f"{line}\n" for line in said), f"```bash\n{command}\n```\n"])
    numbers = {
        "plan": plan.as_attributes(),
        "trials": [_as_numbers(one) for one in trials],
        "importance": importance,
        "confirmed": [asdict(one) | {"optimism": one.optimism} for one in confirmed],
        "winner": command,
    }
    rows = as_csv([_row(one) for one in trials])
    for suffix, text in ((".md", markdown), (".json", as_json(numbers)), (".csv", rows)):
        write(path.with_suffix(suffix), text)
    write_to_tensorboard(plan, trials, markdown, search_cards(trials, plan.dimensions(), importance))
    echo(f"\nDetails: {as_shown(path)}.md, .csv, .json, .png; in TensorBoard {plan.name}/search\n")
    to_console(tables, terminal())
    for line in said:
        echo(line)
    echo_command(shlex.split(command, posix=False))


WINNER = "The winner is the best by validation accuracy: the test set has no say. This writes its config:"


def winner(plan: Plan, trials: Sequence[FrozenTrial]) -> str:
    """The command that writes the config of the best trial, without the images that were held out."""
    arch, chosen = plan.chosen(best_first(trials)[0].params)
    settings = [pair for pair in settings_for(arch, plan.settings + chosen) if pair[0] != VAL_SIZE]
    arguments = shlex.join(["--arch", arch, *command_line(settings)])
    name = shlex.quote(plan.name.replace("/", "-"))
    return f"python scripts/fit.py {arguments} --print_config > configs/{name}.yaml"


def best_table(plan: Plan, trials: Sequence[FrozenTrial]) -> Table:
    """The best trials, and how all of them ended."""
    best = best_first(trials)[:BEST]
    rows = [[f"trial_{one.number}", f"{100 * one.values[0]:.2f}", *_setting(plan, one)] for one in best]
    counts = Counter(map(how_it_ended, trials))
    ended = ", ".join(f"{count} {how}" for how, count in counts.items())
    notes = [f"{len(trials)} trials: {ended}. Sampler {plan.sampler}, seed {plan.seed}, pruner {plan.pruner}."]
    return Table("The best trials", ["trial", "validation %", "network", "settings"], rows, notes)


def confirmed_table(plan: Plan, confirmed: Sequence[Confirmed]) -> Table:
    """What the search saw of its best settings, and what they are."""
    rows = [
        [
            one.name,
            one.row.arch,
            NOTHING if one.seen is None else f"{100 * one.seen:.2f}",
            f"{one.row.trained}/{one.row.runs}",
            accuracy_text(one.row.accuracy),
            NOTHING if one.difference is None else difference_text(one.difference, "accuracy"),
            NOTHING if one.difference is None else number(one.difference.p),
            NOTHING if one.optimism is None else signed(one.optimism, "accuracy"),
        ]
        for one in confirmed
    ]
    columns = ["setting", "network", "validation %\nin the search", "trained", "test %, fresh seeds\n[95 %]"]
    columns += ["minus default\n[95 %]", "p", "optimism"]
    notes = [
        f"Fresh seeds: {confirmed[0].row.runs} of each from {plan.seed + 1} on, trained on all training images; the "
        "test set was read once, at the end of each run. Means are of the runs that trained. Default: what fit.py does "
        f"without the options that were searched, with {plan.archs[0]}. Optimism: validation accuracy in the search "
        "minus the mean with fresh seeds, in points; the best of many trials looks better than it is."
    ]
    return Table("The best settings with fresh seeds", columns, rows, notes, droppable=("network", "p"))


def importance_table(importance: dict[str, float], trials: Sequence[FrozenTrial]) -> Table:
    """How much of what makes a trial good lies in each option."""
    rows = [[option, f"{100 * share:.0f} %"] for option, share in importance.items()]
    complete = len(best_first(trials))
    notes = ["PED-ANOVA of Optuna, over the trials that ran to their end."]
    if complete < ENOUGH_FOR_IMPORTANCE:
        notes.append(f"These are {complete}: with fewer than {ENOUGH_FOR_IMPORTANCE}, importances are mostly chance.")
    return Table("Importance", ["option", "importance"], rows, notes)


def importance_of(study: Study) -> dict[str, float]:
    """The share of each option, the largest first; none where fewer than two trials ran to their end."""
    values = {one.values[0] for one in best_first(study.get_trials(deepcopy=False))}
    if len(values) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


def write_to_tensorboard(
    plan: Plan, trials: Sequence[FrozenTrial], markdown: str, cards: dict[str, Callable[[], Figure]]
) -> None:
    """The report, and each trial in the HParams tab, pruned ones too; what was written before is replaced."""
    folder = plan.directory().path / "search"
    shutil.rmtree(folder, ignore_errors=True)
    with SummaryWriter(str(folder)) as writer:
        writer.add_text("search", markdown)
        for name, draw in cards.items():
            writer.add_figure(f"{VISUALS}/search/{name}", drawn(draw, CARD))
        for one in trials:
            if one.values:
                params = {ARCH: plan.archs[0]} | one.params | {"ended": how_it_ended(one)}
                metrics = {tag_when_done("val/acc"): one.values[0]}
                writer.add_hparams(params, metrics, run_name=f"trial_{one.number}", global_step=one.last_step or 0)


def conclusion(best: Confirmed) -> str:
    """What a reader may believe of the search's best setting."""
    if best.row.accuracy is None or best.seen is None or best.optimism is None:
        return (
            f"{best.name} did not train with any of {best.row.runs} fresh seeds: its accuracy in the search was luck."
        )
    fresh = f"{percent(best.seen)} in the search, {percent(best.row.accuracy.mean)} on the test set with fresh seeds"
    result = best.difference
    if result is None:
        return f"{best.name}: {fresh}. There is no default setting that trained to compare it with."
    points = f"{abs(100 * result.difference):.2f} points"
    if result.p >= SIGNIFICANCE:
        return (
            f"{best.name}: {fresh}. That it differs from the default is not certain (by {points}, {p_text(result.p)})."
        )
    how = "better" if result.difference > 0 else "worse"
    return f"{best.name}: {fresh}. It is {how} than the default by {points} ({p_text(result.p)})."


def _setting(plan: Plan, trial: FrozenTrial) -> list[str]:
    arch, chosen = plan.chosen(trial.params)
    return [arch, settings_text(settings_for(arch, chosen), list(plan.space))]


def _as_numbers(trial: FrozenTrial) -> dict[str, Any]:
    """A trial without its times, which are others on every day."""
    return {
        "number": trial.number,
        "ended": how_it_ended(trial),
        "accuracy": trial.values[0] if trial.values else None,
        "params": trial.params,
        "epochs": {str(epoch): accuracy for epoch, accuracy in sorted(trial.intermediate_values.items())},
        "attributes": {key: trial.user_attrs[key] for key in (COLLAPSED, FAILED) if key in trial.user_attrs},
    }


def _row(trial: FrozenTrial) -> dict[str, Any]:
    """A trial's line in search.csv."""
    seconds = trial.duration.total_seconds() if trial.duration else None
    row = {"trial": trial.number, "ended": how_it_ended(trial), "epochs": len(trial.intermediate_values)}
    return row | {"accuracy": trial.values[0] if trial.values else None, "seconds": seconds} | trial.params
