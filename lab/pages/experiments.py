"""The experiments beside the study, each described once: its commands, what is shown, and where it comes from.

`python -m lab.train` trains their runs and keeps them in docs/data/, `python -m lab.pages` makes their pages.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from matplotlib.figure import Figure

from convblocks.compare.analysis import summarise
from convblocks.compare.statistics import SIGNIFICANCE, mean_interval
from convblocks.compare.trials import command_line
from convblocks.figures.estimates import PERCENT, SECONDS, Estimate, cell, p_text
from convblocks.figures.grouping import by_arch, grouped
from convblocks.figures.tables import Table
from convblocks.run.result import RunResult
from convblocks.text import counted, listed
from lab import NETWORKS
from lab.benchmarks.pages import picture, save_in_both_themes
from lab.benchmarks.training.page import FAST
from lab.estimates import spread
from lab.notebook import compare_networks, results_table
from lab.pages import operations
from lab.pages.provenance import CHANGES
from lab.pages.writing import table, write_page, write_sections
from lab.results import by_overrides, read_results, time_to
from lab.statistics import sign_flip_test
from lab.study.decision import EQUIVALENT, cell_of
from lab.study.plan import CONFIRMING_SEEDS, NOTEBOOK

# The accuracy that quick.yaml is to reach; that of sprint.yaml is FAST. The board counts the seconds to both.
ACCURATE = 0.995

ALONE = "Any run can be repeated alone, by a command like that given for the first one: its record holds its options."


@dataclass(frozen=True)
class Experiment:
    """A section of a page: its heading and paragraph, the arguments of ``scripts/compare.py``, and what is shown.

    Several commands have a line each. ``sentence`` is the finding, ``figure`` a picture and what it shows; ``control``
    says with which runs of the study's second stage its own are compared, if with any.
    """

    title: str
    text: str
    arguments: str
    tables: Callable[..., list[Table]]
    control: Callable[[RunResult], bool] | None = None
    sentence: Callable[[Sequence[RunResult]], str] | None = None
    figure: tuple[Callable[[Sequence[RunResult]], Figure], str] | None = None
    page: str = "experiments"

    @property
    def commands(self) -> list[str]:
        return self.arguments.splitlines()


def write_experiments(data: Path, out: Path) -> None:
    """Make docs/lab/experiments.md."""
    write_experiments_of("experiments", "# Experiments\n\nBeside [the study](results.md).", data, out)


def write_operations(data: Path, out: Path) -> None:
    """Make docs/lab/operations.md, and README's parts on it."""
    opening = (
        "# Which operation, and why\n\nThe course's networks differ in three operations. Which of them makes the "
        "difference, why does MaxPool collapse at the notebook's setting, and does it hold on other images? [The "
        "protocol](protocol-operations.md) was written before the runs."
    )
    write_experiments_of("operations", opening, data, out)
    interventions = read_results(data / "interventions.jsonl")
    link = "[The experiment](docs/lab/operations.md)."
    sections = {
        "picture": operations.caption(interventions),
        "operations": f"{operations.readme_sentence(interventions)} {link}",
    }
    write_sections(out, "README.md", sections)


def write_experiments_of(page: str, opening: str, data: Path, out: Path) -> None:
    """Make a page of its experiments."""
    lab = out / "docs" / "lab"
    blocks: list[str | list[Table]] = [opening, f"`python -m lab.train` trains all runs. {ALONE} {CHANGES}"]
    for name, experiment in EXPERIMENTS.items():
        if experiment.page == page:
            blocks += section(name, experiment, data, lab)
    write_page(lab / f"{page}.md", *blocks, level=3)


def section(name: str, experiment: Experiment, data: Path, lab: Path) -> list[str | list[Table]]:
    """An experiment on its page."""
    records = {name: read_results(data / f"{name}.jsonl")}
    blocks: list[str | list[Table]] = [f"## {experiment.title}", experiment.text]
    if experiment.sentence:
        blocks.append(f"**{experiment.sentence(records[name])}**")
    if experiment.figure:
        draw, description = experiment.figure
        save_in_both_themes(partial(draw, records[name]), lab / f"{name}.png")
        blocks.append(picture(name, description))
    if experiment.control:
        records["study-confirm"] = [*filter(experiment.control, read_results(data / "study-confirm.jsonl"))]
    return [*blocks, experiment.tables(*records.values()), *(sources(record, runs) for record, runs in records.items())]


def sources(name: str, results: Sequence[RunResult]) -> str:
    """The origin of runs: commands of all and of one, file, and a line for each machine with threads and commits."""
    minutes = sum(one.seconds for one in results) / 60
    runs = f"n = {len(results)} runs, {minutes:.0f} min of training in all, [each with all its numbers]"
    study = f"scripts/study.py {name.removeprefix('study-')}"
    commands = (
        [f"scripts/compare.py {arguments}" for arguments in EXPERIMENTS[name].commands]
        if name in EXPERIMENTS
        else [study]
    )
    others = f" and {len(commands) - 1} like it, which lab/pages/experiments.py lists" if commands[1:] else ""
    alone = f"One run alone, the first of them: `{command_of(results[0])}`."
    lines = [f"`python {commands[0]}`{others}: {runs}(../data/{name}.jsonl). {alone}\n"]
    origins = grouped([one.provenance for one in results], lambda one: (one.machine, one.commit is None))
    for (machine, _), own in origins.items():
        threads = sorted({origin.threads for origin in own})
        of_each = "one thread" if threads == [1] else f"{listed([*map(str, threads)])} threads"
        commits = list(dict.fromkeys(origin.commit or "unknown" for origin in own))
        commit = f"commit{'s' * (len(commits) > 1)} {listed(commits)}"
        lines.append(f"- {counted(len(own), 'run')} on {machine}, {of_each} each, {commit}.")
    return "\n".join(lines)


def command_of(result: RunResult) -> str:
    """The command that repeats a single run, under a new name."""
    options = command_line(result.overrides)
    return shlex.join(["python", "scripts/fit.py", *options, "--arch", result.arch, "--seed", str(result.seed)])


def hardware(result: RunResult) -> str:
    """Processor and system that a run ran on."""
    return without_versions(result.provenance.machine)


def without_versions(machine: str) -> str:
    return machine.partition(", python ")[0]


def setting_tables(results: Sequence[RunResult]) -> list[Table]:
    """What a setting reaches on the test set."""
    return [results_table("Results", [compare_networks(results)])]


def candidates_tables(results: Sequence[RunResult]) -> list[Table]:
    """For each network every candidate, the best first, by held-out images."""
    tables = []
    for arch, own in by_arch(results).items():
        scores = {
            Path(dict(overrides)["config"]).name: mean_interval([run.validation or 0.0 for run in runs], PERCENT)
            for overrides, runs in by_overrides(own).items()
        }
        rows = [
            {
                "setting": f"[{name}](../data/candidates/{name})",
                "validation accuracy %": spread(score),
                "n": str(score.n),
            }
            for name, score in sorted(scores.items(), key=lambda item: item[1].value, reverse=True)
        ]
        title = f"Candidates for {arch}, {counted(len(own[0].epochs), 'epoch')}"
        note = "Mean and standard deviation over the runs of a setting; the test set was not used."
        tables.append(table(title, rows, note))
    return tables


def share_text(goal: float) -> str:
    """``99 %`` or ``99.5 %``."""
    return f"{100 * goal:g} %"


def time_tables(results: Sequence[RunResult], goal: float) -> list[Table]:
    """For each machine, when its runs reached the goal: seconds of training and evaluation since the first step."""
    tables = []
    for machine, own in grouped(results, hardware).items():
        rows = []
        for precision, runs in grouped(own, lambda run: dict(run.overrides)["trainer.precision"]).items():
            seconds = [reached[1] for run in runs if (reached := time_to(run, goal))]
            rows.append(
                {
                    "precision": precision,
                    f"reach {share_text(goal)}": f"{len(seconds)} of {len(runs)}",
                    "seconds from the first step": f"{mean_interval(seconds, SECONDS)}" if seconds else "never",
                    "test accuracy %": f"{mean_interval([run.score for run in runs], PERCENT)}",
                }
            )
        note = "Seconds of training and evaluation, of the runs that get there. Means, in brackets 95 % intervals."
        tables.append(table(machine, rows, note))
    return tables


def batches_tables(results: Sequence[RunResult]) -> list[Table]:
    """Test accuracy by batch size and learning rate of the runs that trained, and the number of the others."""

    def shown(runs: Sequence[RunResult]) -> str:
        """``94.64 ± 0.59``, ``58.67, 2 collapsed`` or ``3 collapsed``."""
        arm = summarise(runs)
        collapsed = f"{arm.collapsed} collapsed" if arm.collapsed else ""
        return ", ".join(filter(None, [spread(arm.score) if arm.score else "", collapsed]))

    rows = []
    for size, own in grouped(results, lambda run: dict(run.overrides)["batch_size"]).items():
        rates = grouped(own, lambda run: f"lr {dict(run.overrides)['lr']}")
        rows.append({"batch size": size, **{rate: shown(runs) for rate, runs in rates.items()}})
    note = (
        f"Mean ± standard deviation of the runs that trained; each cell has {len({one.seed for one in results})} runs, "
        "and says how many collapsed. "
        "A batch of twice the size makes half as many steps. Scaled with the batch's size, the learning rate of 0.01 "
        "at 64 would be 0.04, 0.16 and 0.64; scaled with its square root, 0.02, 0.04 and 0.08."
    )
    return [table("Test accuracy in % by batch size and learning rate, after 5 epochs", rows, note)]


def channels_tables(first: Sequence[RunResult], last: Sequence[RunResult]) -> list[Table]:
    """Test accuracy of two networks with the same initial weights, and their difference, paired by seed."""
    lines = [
        (name, f"{arm.trained_runs} of {arm.runs}", cell(arm.score))
        for name, arm in (("channels first", summarise(first)), ("channels last", summarise(last)))
    ]
    difference = paired_difference(first, last)
    lines.append(("first - last", f"{difference.n} pairs", f"{difference:+}"))
    note = (
        "Means of the runs that trained, with 95 % intervals. The difference is in points, paired by seed, with the "
        f"sign-flip test ({p_text(difference.p)}) and its own interval. {_memory_verdict(difference)}"
    )
    return [Table("Test accuracy", ["order of memory", "n", "test accuracy % [95 %]"], lines, [note])]


def paired_difference(first: Sequence[RunResult], second: Sequence[RunResult]) -> Estimate:
    """The difference in accuracy, paired by seed, over the pairs that trained.

    The same seed gives the same initial weights and order of images.
    """
    scores, others = ({run.seed: run.score for run in runs if not run.failed} for runs in (first, second))
    return sign_flip_test([score - others[seed] for seed, score in scores.items() if seed in others])


def _memory_verdict(difference: Estimate) -> str:
    """Which order should be the default, by the study's limits."""
    if difference.p < SIGNIFICANCE:
        return f"Channels {'first' if difference.value > 0 else 'last'} should be the default."
    if max(-difference.low, difference.high) < EQUIVALENT:
        return f"They are equivalent within {100 * EQUIVALENT:.2f} points."
    return (
        f"That is undecided: these runs do not exclude a difference of more than {100 * EQUIVALENT:.2f} points. "
        "channels_last stays the default for its speed."
    )


def _candidates(name_and_options: str, configs: str) -> str:
    """The arguments of runs with candidates for a setting, which are judged by held-out images."""
    paths = ",".join(f"docs/data/candidates/{config}.yaml" for config in configs.split())
    return f"--name candidates/{name_and_options} --seeds 200,201 --data.val_size 10000 --grid config={paths}"


def _factorial() -> str:
    """The commands of its eight networks."""
    lines = []
    for downsampling, normalisation, head in product(("maxpool", "stride"), ("none", "batch"), ("flatten", "average")):
        network = f"downsampling {downsampling} --network.normalisation {normalisation} --network.head {head}"
        name = f"factorial/{downsampling}-{normalisation}-{head}"
        lines.append(f"--name {name} --arch {BLOCKS} --network.{network} {CHOOSE_AND_CONFIRM}")
    return "\n".join(lines)


BLOCKS = "lab.blocks.BlockNetwork"
FASHION = f"--arch {' '.join(NETWORKS)} --data.root /usr/share/datasets/fashion-mnist"
CHOOSE_AND_CONFIRM = (
    "--lr_scheduler onecycle --data.val_size 5000 --seeds 3000,3001 --grid lr=1e-3,3e-3,1e-2 --confirm 6"
)

EXPERIMENTS = {
    "interventions": Experiment(
        "Why does MaxPool collapse?",
        "Each change is made alone to the MaxPool network, which is then trained for 300 steps at the notebook's "
        "setting. The last variant is another network: the BatchNorm network without its normalisation.",
        f"--name interventions --arch {BLOCKS} --seeds {','.join(map(str, range(4000, 4040)))} --epochs 1 "
        "--trainer.max_steps 300 "
        f"--grid config={','.join(f'docs/data/interventions/{variant}.yaml' for variant in operations.CONFIGS)}",
        operations.interventions_tables,
        sentence=operations.interventions_sentence,
        figure=(operations.interventions_figure, "The share of collapsed runs of each variant"),
        page="operations",
    ),
    "factorial": Experiment(
        "Which operation makes the difference?",
        "Every combination of the three operations, each at its own best learning rate.",
        _factorial(),
        operations.factorial_tables,
        sentence=operations.factorial_sentence,
        figure=(operations.factorial_figure, "The effects of three operations and their interactions"),
        page="operations",
    ),
    "fashion-best": Experiment(
        "Fashion-MNIST, each at its best rate",
        "Is the order of the networks the same on other images of the same size? Debian's package "
        "`dataset-fashion-mnist` has them.",
        f"--name fashion-best {FASHION} {CHOOSE_AND_CONFIRM}",
        operations.fashion_tables,
        sentence=operations.fashion_sentence,
        page="operations",
    ),
    "fashion-notebook": Experiment(
        "Fashion-MNIST at the notebook's setting",
        "Is the collapse the same?",
        f"--name fashion-notebook {FASHION} --seeds 3002,3003,3004,3005,3006,3007",
        operations.fashion_tables,
        sentence=operations.fashion_sentence,
        page="operations",
    ),
    "onecycle": Experiment(
        "Five epochs",
        "What `configs/onecycle.yaml` reaches on the test set; [the board](board.md) has what it costs.",
        "--name onecycle --config configs/onecycle.yaml --arch maxpool batchnorm --seeds 5",
        setting_tables,
    ),
    "candidates-batchnorm": Experiment(
        "Candidates for five epochs",
        "The settings were chosen by hand, from a few candidates, by their accuracy on 10,000 training images that "
        "were held out; this one for the BatchNorm network.",
        _candidates(
            "batchnorm --arch batchnorm --epochs 5",
            "moved-128 moved-64 moved-64-lr3e-2 shifted-64 half-64 half-64-lr2e-2 half-64-smoothed half-32-smoothed "
            "half-64-smoothed-decay half-64-betas half-64-betas-lr2e-2",
        ),
        candidates_tables,
    ),
    "long": Experiment(
        "Thirty epochs",
        "What `configs/long.yaml` reaches on the test set.",
        "--name long --config configs/long.yaml --arch maxpool --seeds 5",
        setting_tables,
    ),
    "candidates-long": Experiment(
        "Candidates for thirty epochs",
        "Chosen in the same way, for both networks.",
        _candidates("long --epochs 30 --arch maxpool batchnorm", "long long-averaged-smoothed"),
        candidates_tables,
    ),
    "sprint": Experiment(
        "Sprint",
        f"How soon `configs/sprint.yaml` gets to {share_text(FAST)}, in one epoch; "
        "[performance.md](performance.md) has the seconds from the command.",
        f"--name sprint --config configs/sprint.yaml --arch {BLOCKS} --seeds 10 --jobs 1 --threads 2 "
        "--grid trainer.precision=bf16-mixed,32-true",
        partial(time_tables, goal=FAST),
    ),
    "candidates-sprint": Experiment(
        "Candidates for the sprint",
        "Chosen in the same way, in float32, since its runs were to be compared on any machine.",
        _candidates(
            "sprint --arch maxpool --epochs 1",
            "sprint sprint-betas sprint-betas-0.75 sprint-betas-0.6 sprint-betas-0.5 sprint-betas-64-0.5",
        ),
        candidates_tables,
    ),
    "candidates-cropped": Experiment(
        "Candidates for a shorter sprint",
        "The choice before, sprint-betas, takes the MaxPool network; these do not see the images' edges, which are "
        "black, and most have half as many channels. `sprint.yaml` is sprint-cropped-narrow-batch-smoothed.",
        _candidates(
            f"cropped --arch {BLOCKS} --epochs 1",
            "sprint-cropped sprint-cropped-narrow sprint-cropped-narrow-batch sprint-cropped-stride-batch "
            "sprint-cropped-narrow-batch-smoothed sprint-cropped-narrow-batch-smoothed-0.75",
        ),
        candidates_tables,
    ),
    "quick": Experiment(
        "Quick",
        f"How soon `configs/quick.yaml` gets to {share_text(ACCURATE)}, in eight epochs.",
        f"--name quick --config configs/quick.yaml --arch {BLOCKS} --seeds 10 --jobs 1 --threads 2 "
        "--grid trainer.precision=bf16-mixed",
        partial(time_tables, goal=ACCURATE),
    ),
    "batches": Experiment(
        "Larger batches",
        "Which learning rate does a larger batch need: the same, one scaled with the batch's size, or with its square "
        "root?",
        "--name batches --arch mlp --seeds 3 --grid batch_size=64,256,1024,4096 "
        "--grid lr=0.01,0.02,0.04,0.08,0.16,0.64",
        batches_tables,
    ),
    "channels": Experiment(
        "Batch normalisation in two orders of memory",
        "Networks here compute in channels_last, in which torch's convolutions are fastest. On a CPU torch's batch "
        "normalisation then adds up the values of a channel one after the other, and some gradients of BatchNorm are "
        "less exact ([cluster.md](../manual/cluster.md)) than with channels first. Does a network learn less from "
        "them? `lab/channels.py` has the BatchNorm network with the exact sums: the same weights at the beginning, "
        "the same batches, the notebook's setting.",
        f"--name channels --arch lab.channels.ChannelsFirst --seeds {','.join(map(str, CONFIRMING_SEEDS))}",
        channels_tables,
        control=lambda run: run.arch == "batchnorm" and cell_of(run) == NOTEBOOK,
    ),
}
