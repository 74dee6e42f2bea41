"""The experiments of docs/lab/experiments.md, each described once: its command, what is shown, and where it comes from.

`python docs/train.py` trains their runs and keeps them in docs/data/, `python docs/pages.py` makes the page of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from convblocks.comparison.analysis import compare, summarise
from convblocks.comparison.grid import paired_difference
from convblocks.comparison.report import results_table
from convblocks.comparison.statistics import SIGNIFICANCE, mean_interval
from convblocks.comparison.study.decision import cell_of
from convblocks.comparison.study.plan import CONFIRMING_SEEDS, NOTEBOOK
from convblocks.estimates import PERCENT, cell, p_text
from convblocks.runs.result import RunResult, by_arch, by_overrides, grouped, read_results
from convblocks.tables import Table, counted, listed, percent
from docs.writing import table, write_page

# The accuracy that a sprint is to reach, and to which the board counts seconds.
FAST = 0.99


@dataclass(frozen=True)
class Experiment:
    """A section of the page: its heading and paragraph, the arguments of ``scripts/compare.py``, and what is shown.

    ``control`` says with which runs of the study's second stage its own are compared, if with any.
    """

    title: str
    text: str
    arguments: str
    tables: Callable[..., list[Table]]
    control: Callable[[RunResult], bool] | None = None


def write_experiments(data: Path, out: Path) -> None:
    """Make docs/lab/experiments.md."""
    blocks: list[str | list[Table]] = ["# Experiments"]
    blocks += ["Beside [the study](results.md). `python docs/train.py` trains the runs of all of them."]
    for name, experiment in EXPERIMENTS.items():
        records = {name: read_results(data / f"{name}.jsonl")}
        if experiment.control:
            records["study-confirm"] = [*filter(experiment.control, read_results(data / "study-confirm.jsonl"))]
        blocks += [f"## {experiment.title}", experiment.text, experiment.tables(*records.values())]
        blocks += [sources(name, runs) for name, runs in records.items()]
    write_page(out / "docs" / "lab" / "experiments.md", *blocks, level=3)


def sources(name: str, results: Sequence[RunResult]) -> str:
    """The origin of runs: command, file, and a line for each machine with its threads and commits."""
    minutes = sum(one.seconds for one in results) / 60
    runs = f"n = {len(results)} runs, {minutes:.0f} min of training in all, [each with all its numbers]"
    study = f"scripts/study.py {name.removeprefix('study-')}"
    command = f"scripts/compare.py {EXPERIMENTS[name].arguments}" if name in EXPERIMENTS else study
    lines = [f"`python {command}`: {runs}(../data/{name}.jsonl).\n"]
    for machine, own in grouped([one.provenance for one in results], lambda one: one.machine).items():
        threads = sorted({one.threads for one in own})
        of_each = "one thread" if threads == [1] else f"{listed([*map(str, threads)])} threads"
        commits = list(dict.fromkeys(one.commit or "unknown" for one in own))
        commit = f"commit{'s' * (len(commits) > 1)} {listed(commits)}"
        lines.append(f"- {counted(len(own), 'run')} on {machine}, {of_each} each, {commit}.")
    return "\n".join(lines)


def hardware(result: RunResult) -> str:
    """Processor and system that a run ran on."""
    return without_versions(result.provenance.machine)


def without_versions(machine: str) -> str:
    return machine.partition(", python ")[0]


def recipe_tables(results: Sequence[RunResult]) -> list[Table]:
    """What a recipe reaches on the test set."""
    return [results_table("Results", [compare(results)])]


def candidates_tables(results: Sequence[RunResult]) -> list[Table]:
    """For each network every setting from which a recipe was chosen, the best first, by held-out images."""
    tables = []
    for arch, own in by_arch(results).items():
        scores = {
            Path(dict(overrides)["config"]).name: mean_interval([one.validation or 0.0 for one in runs], PERCENT)
            for overrides, runs in by_overrides(own).items()
        }
        rows = [
            {
                "setting": f"[{name}](../data/candidates/{name})",
                "validation accuracy %": score.spread(),
                "n": str(score.n),
            }
            for name, score in sorted(scores.items(), key=lambda one: one[1].value, reverse=True)
        ]
        title = f"Candidates for {arch}, {counted(len(own[0].epochs), 'epoch')}"
        note = "Mean and standard deviation over the runs of a setting; the test set was not used."
        tables.append(table(title, rows, note))
    return tables


def sprint_tables(results: Sequence[RunResult]) -> list[Table]:
    """For each machine, when its runs reached the goal: seconds of training and evaluation since the first step."""

    def row(run: RunResult) -> dict[str, str]:
        reached = run.time_to(FAST)
        return {
            "precision": dict(run.overrides)["trainer.precision"],
            "seed": str(run.seed),
            "seconds from the first step": f"{reached[1]:.1f}" if reached else "never",
            "test accuracy": percent(run.accuracy),
        }

    return [table(machine, [row(run) for run in own]) for machine, own in grouped(results, hardware).items()]


def batches_tables(results: Sequence[RunResult]) -> list[Table]:
    """Test accuracy by batch size and learning rate of the runs that trained, and the number of the others."""

    def shown(runs: Sequence[RunResult]) -> str:
        """``94.64 ± 0.59``, ``58.67, 2 collapsed`` or ``3 collapsed``."""
        arm = summarise(runs)
        collapsed = f"{len(arm.collapsed_at)} collapsed" if arm.collapsed_at else ""
        return ", ".join(filter(None, [arm.accuracy.spread() if arm.accuracy else "", collapsed]))

    rows = []
    for size, own in grouped(results, lambda one: dict(one.overrides)["batch_size"]).items():
        rates = grouped(own, lambda one: f"lr {dict(one.overrides)['lr']}")
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
        (name, f"{arm.trained_runs} of {arm.runs}", cell(arm.accuracy))
        for name, arm in (("channels first", summarise(first)), ("channels last", summarise(last)))
    ]
    difference = paired_difference(first, last)
    assert difference
    lines.append(("first - last", f"{difference.n} pairs", f"{difference:+}"))
    differ = difference.p < SIGNIFICANCE
    is_better = differ and difference.value > 0
    note = (
        f"Means of the runs that trained, with 95 % intervals. The difference is in points, paired by seed: the "
        f"sign-flip test finds {'a' if differ else 'no'} difference ({p_text(difference.p)}), and the interval is its "
        f"own: {'channels first should be the' if is_better else 'channels_last stays the'} default."
    )
    return [Table("Test accuracy", ["order of memory", "n", "test accuracy % [95 %]"], lines, [note])]


def _candidates(name_and_options: str, configs: str) -> str:
    """The arguments of runs with candidates for a recipe, which are judged by held-out images."""
    paths = ",".join(f"docs/data/candidates/{config}.yaml" for config in configs.split())
    return f"--name candidates/{name_and_options} --seeds 200,201 --data.val_size 10000 --grid config={paths}"


EXPERIMENTS = {
    "onecycle": Experiment(
        "Five epochs",
        "What `configs/onecycle.yaml` reaches on the test set; [the board](board.md) has what it costs.",
        "--name onecycle --config configs/onecycle.yaml --arch maxpool batchnorm --seeds 5",
        recipe_tables,
    ),
    "candidates-batchnorm": Experiment(
        "Candidates for five epochs",
        "The recipes were chosen by hand, from a few candidates, by their accuracy on 10,000 training images that were "
        "held out; this one for the BatchNorm network.",
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
        recipe_tables,
    ),
    "candidates-long": Experiment(
        "Candidates for thirty epochs",
        "Chosen in the same way, for both networks.",
        _candidates("long --epochs 30 --arch maxpool batchnorm", "long long-averaged-smoothed"),
        candidates_tables,
    ),
    "sprint": Experiment(
        "Sprint",
        f"How soon `configs/sprint.yaml` brings the MaxPool network to {100 * FAST:.0f} %, in one epoch: seconds of "
        "training and evaluation, until the goal was reached.",
        "--name sprint --config configs/sprint.yaml --arch maxpool --seeds 5 --jobs 1 --threads 2 "
        "--grid trainer.precision=bf16-mixed,32-true",
        sprint_tables,
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
        "them? `docs/channels.py` has the BatchNorm network with the exact sums: the same weights at the beginning, "
        "the same batches, the notebook's setting.",
        f"--name channels --arch docs.channels.ChannelsFirst --seeds {','.join(map(str, CONFIRMING_SEEDS))}",
        channels_tables,
        control=lambda one: one.arch == "batchnorm" and cell_of(one) == NOTEBOOK,
    ),
}
