"""A search, from the command line to its report."""

import os
from argparse import Namespace
from collections import Counter

from filelock import FileLock
from optuna.trial import TrialState

from convblocks.command_line import Parser
from convblocks.comparison.options import default_epochs, fit_settings, options_of_fit, refuse_arguments_of_networks
from convblocks.comparison.progress import Column, Progress
from convblocks.comparison.trials import Running, Settings, Trial, fit_all, stops_are_told
from convblocks.comparison.wording import settings_text
from convblocks.console import echo
from convblocks.data.module import MNISTDataModule
from convblocks.errors import Stopped, UsageError, UserError
from convblocks.search import space
from convblocks.search.confirm import confirm
from convblocks.search.plan import Choice, Plan
from convblocks.search.report import report
from convblocks.search.study import Search, best_first, how_it_ended
from convblocks.tables import percent, terminal
from convblocks.training import building, signals, slurm
from convblocks.training.options import with_size_as_one
from convblocks.training.outcome import chance_accuracy
from convblocks.training.quiet import quiet_lightning

# More than anybody trains is a slip of the hand.
LIMITS = {"trials": (1, 100_000), "jobs": (1, 1000), "confirm": (0, 100), "seeds": (1, 1000)}


def main(arguments: list[str]) -> None:
    """Choose and train until there are as many trials as wanted, confirm the best, and report.

    Raises:
        Stopped: a signal came, or Ctrl-C; the same command carries on.
        UsageError: options or a space that fit.py does not take.
        UserError: a journal of another search, or one that is damaged; or no trial has a result.
    """
    quiet_lightning()
    launched = dict(os.environ)
    options = parse(arguments)
    if launcher := slurm.launcher_of_several():
        raise UsageError(f"{launcher} is for the processes of one run: start this command several times, without it")
    slurm.hide_launcher()
    os.environ.pop(slurm.JOB, None)  # the job is not a trial's to requeue
    search = opened(options)
    try:
        with stops_are_told():
            if not options.no_fit:
                choose_and_train(search, options.trials, options.jobs)
            conclude(search, options)
    except Stopped:
        if signals.received() == signals.REQUEUE:
            slurm.requeue(launched)
        raise


def parse(arguments: list[str]) -> Namespace:
    """The options, with the ``plan`` of the search."""
    parser = Parser()
    parser.add_argument("--arch", nargs="+", required=True)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--space")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sampler", choices=("tpe", "random"), default="tpe")
    parser.add_argument("--pruner", choices=("median", "none"), default="median")
    parser.add_argument("--confirm", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--name", default="search")
    parser.add_argument("--no-fit", action="store_true")
    options, others = parser.parse_known_args(with_size_as_one(arguments))
    for name, (least, most) in LIMITS.items():
        if not least <= getattr(options, name) <= most:
            raise UsageError(f"--{name} must be {least} to {most:,}, but is {getattr(options, name)}")
    given = options_of_fit(others, "search", parser)
    epochs = default_epochs(options.arch[0], given) if options.epochs is None else options.epochs
    settings = (("epochs", str(epochs)), ("threads", str(options.threads)), *given)
    options.plan = Plan(
        name=options.name,
        archs=tuple(dict.fromkeys(options.arch)),
        settings=settings,
        space=space_of(options.space, dict(settings)),
        seed=options.seed,
        sampler=options.sampler,
        pruner=options.pruner,
    )
    return options


def space_of(text: str | None, settings: dict[str, str]) -> space.Space:
    """The space that was asked for; the default one has what is not set for all trials."""
    if text is None:
        found = {option: one for option, one in space.parse(space.DEFAULT).items() if option not in settings}
    else:
        found = space.parse(text)
    for option in found:
        if option in settings:
            raise UsageError(f"--space {option}: this option is set for all trials already")
    return found


def opened(options: Namespace) -> Search:
    """The search that was asked for, new or one that goes on.

    Raises:
        UsageError: options or a space that fit.py does not take.
        UserError: the journal is damaged, or of another search; or there is none to report on.
    """
    plan: Plan = options.plan
    data = check(plan, confirms=options.confirm > 0)
    if options.no_fit and not plan.journal().is_file():
        raise UserError(f"there is no search {plan.directory().path}: leave out --no-fit to begin it")
    return Search(plan, chance_accuracy(data.val.labels), data.files.fingerprint)


def check(plan: Plan, confirms: bool) -> MNISTDataModule:
    """Refuse what fit.py does not take, wherever in the space; returns the images.

    Args:
        plan: The search.
        confirms: Whether its best settings are to be judged by test images.

    Raises:
        UsageError: what it does not take, or a plan without the images that it needs.
    """
    refuse_arguments_of_networks(plan.archs, [*dict(plan.settings), *plan.space])
    for arch in plan.archs:
        for point in space.corners(plan.space):
            settings = fit_settings(Trial(plan.name, arch, plan.settings + space.settings_of(point), plan.seed))
    slurm.check_layout(settings["trainer"].get("devices", "auto"), settings["trainer"].get("num_nodes", 1))
    if not settings["data"]["val_size"] or settings["trainer"].get("limit_val_batches") == 0:
        raise UsageError("a search chooses by images that are held out of training: give --data.val_size 5000, say")
    data = building.build_data(settings)
    data.prepare_data()
    data.setup()
    if confirms and not len(data.files.test.labels):
        raise UsageError(f"{data.files.folder} has no test images to judge the best settings by: give --confirm 0")
    return data


def choose_and_train(search: Search, wanted: int, jobs: int) -> None:
    """Run trials until there are as many as wanted, those of other processes included."""

    def watch(running: list[Running[Choice]]) -> None:
        for one in running:
            if search.should_stop_early(one.trial):
                one.process.terminate()
        progress.update(running)

    columns, common = columns_of(search.plan, wanted)
    with Progress(wanted, terminal(), columns, common, search.ended(), lambda: standing(search)) as progress:
        for trial, status in fit_all(lambda: search.take(wanted), jobs, watch):
            if (result := search.conclude(trial, status)) is not None:
                progress.finish(trial, result, search.ended())


def columns_of(plan: Plan, wanted: int) -> tuple[list[Column], Settings]:
    """By what a search's trials are told apart, and what all of them have."""
    width = max(map(len, plan.archs))
    columns = [
        Column("trial", lambda trial: trial.name.rpartition("/")[2], len(f"trial_{wanted - 1}")),
        *([Column("network", lambda trial: trial.arch, width)] if len(plan.archs) > 1 else []),
        Column("setting", lambda trial: settings_text(trial.settings, list(plan.space)), stays=False),
    ]
    arch = () if len(plan.archs) > 1 else (("arch", plan.archs[0]),)
    return columns, (*arch, ("seed", str(plan.seed)), *plan.settings)


def standing(search: Search) -> str:
    """The best trial so far, and how many have no result."""
    trials = search.trials()
    best, ends = best_first(trials), Counter(map(how_it_ended, trials))
    parts = [f"best {percent(best[0].values[0])} (trial_{best[0].number})"] if best else []
    parts += [f"{ends[how]} {how}" for how in ("pruned", "collapsed", "failed") if ends[how]]
    return ", ".join(parts)


def conclude(search: Search, options: Namespace) -> None:
    """Confirm and report where all trials have ended; otherwise say what is left."""
    plan, trials = search.plan, search.trials()
    if lost := search.lost():
        names = ", ".join(f"{plan.name}/trial_{number}" for number in lost)
        logs = plan.trial(lost[0], {}).log.parent
        raise UserError(f"killed again and again: {names}; see {logs}; the same command carries on")
    running = [f"trial_{one.number}" for one in trials if one.state == TrialState.RUNNING]
    if running and not options.no_fit:
        echo(f"{', '.join(running)}: still running elsewhere. Who ends last confirms and reports.")
        return
    if not best_first(trials):
        raise UserError(f"no trial of {plan.name} ran to its end: {standing(search) or 'there is none'}")
    confirmed = confirm(plan, trials, options.confirm, options.seeds, options.jobs, fit=not options.no_fit)
    if confirmed is None:
        echo("Another process confirms the best settings, and reports.")
        return
    with FileLock(plan.directory().path / ".report.lock"):  # those that end at the same time report one by one
        report(plan, search.study, confirmed)
