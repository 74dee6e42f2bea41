"""The experiments beside the study, each described once: its commands, what is shown,
and where it comes from.

`python -m lab.train` trains their runs and keeps them in docs/data/, `python -m
lab.pages` makes their pages.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

from matplotlib.figure import Figure

from convblocks.figures.grouping import grouped
from convblocks.figures.tables import Table
from convblocks.run.result import RunResult
from convblocks.text import counted, listed
from lab import NETWORKS
from lab.benchmarks.training.page import FAST
from lab.factorial import OPERATIONS
from lab.pages import cause, collapse, compute, factorial, operations, settings
from lab.pages.writing import Block, Picture, brief_machine, write_page, write_sections
from lab.results import read_results
from lab.study.decision import cell_of
from lab.study.plan import NOTEBOOK

# Experiments that ask for seconds, to which each machine has its own answer; others may
# share theirs with other work.
TIMED = ("sprint", "quick")


@dataclass(frozen=True)
class Experiment:
    """A section of a page: its heading and paragraph, the arguments of
    ``scripts/compare.py``, and what is shown.

    Several commands have a line each; those of ``lab.by_seed`` are not here, and there is no
    section before the first of their runs. ``sentence`` is the finding, ``figure`` a picture
    and what it shows; ``control`` says with which runs of the study's second stage its
    own are compared, if with any.
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
    opening = (
        "# Experiments\n\nWhat the settings in `configs/` reach, and how they were chosen. "
        "[README.md](README.md) says how to repeat a run, and what intervals mean. Candidates were "
        "judged by their accuracy in % on 10,000 held-out training images: mean and standard "
        "deviation of two runs each, without the test set."
    )
    write_experiments_of("experiments", opening, data, out)


def write_operations(data: Path, out: Path) -> None:
    """Make docs/lab/operations.md, and README's parts on it."""
    opening = (
        "# Operations and the collapse\n\nThe course's networks differ in three operations. Which "
        "of them makes the difference? What prevents MaxPool's collapse at the notebook's setting, "
        "and why does it happen? Is it the same on other images? [The "
        "protocol](protocol-operations.md) was written before the runs; [README.md](README.md) "
        "says how to repeat them, and what intervals mean."
    )
    write_experiments_of("operations", opening, data, out)
    interventions = read_results(data / "interventions.jsonl")
    fashion = read_results(data / "fashion-collapse.jsonl")
    sections = {
        "picture": operations.caption(interventions),
        "operations": (
            f"{operations.readme_sentence(interventions)} {operations.readme_fashion(fashion)}"
        ),
    }
    write_sections(out, "README.md", sections)


def write_experiments_of(page: str, opening: str, data: Path, out: Path) -> None:
    """Make a page of its experiments."""
    lab = out / "docs" / "lab"
    blocks: list[Block] = [opening]
    for name, experiment in EXPERIMENTS.items():
        is_trained = experiment.arguments or (data / f"{name}.jsonl").is_file()
        if experiment.page == page and is_trained:
            blocks += section(name, experiment, data)
    write_page(lab / f"{page}.md", *blocks, level=3)


def section(name: str, experiment: Experiment, data: Path) -> list[Block]:
    """An experiment on its page."""
    records = {name: read_results(data / f"{name}.jsonl")}
    blocks: list[Block] = [f"## {experiment.title}", experiment.text]
    if experiment.sentence:
        blocks.append(f"**{experiment.sentence(records[name])}**")
    if experiment.figure:
        draw, description = experiment.figure
        blocks.append(Picture(name, description, partial(draw, records[name])))
    if experiment.control:
        records["study-confirm"] = [
            *filter(experiment.control, read_results(data / "study-confirm.jsonl"))
        ]
    origin = sources(name, records[name])
    compared = records.get("study-confirm")
    if compared:
        origin += f" The study's: [{len(compared)} runs](../data/study-confirm.jsonl)."
    return [*blocks, experiment.tables(*records.values()), origin]


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
    return f"commit{'s' * (len(different) > 1)} {listed(different)}"


def hardware(result: RunResult) -> str:
    """Processor and system that a run ran on."""
    return without_versions(result.provenance.place)


def without_versions(machine: str) -> str:
    return machine.partition(", python ")[0]


def _configs(folder: str, names: Iterable[str]) -> str:
    """The paths of configs in a folder of docs/data/, as the values of a grid."""
    return ",".join(f"docs/data/{folder}/{name}.yaml" for name in names)


def _factorial() -> str:
    """The commands of its eight networks."""
    lines = []
    for levels in product(("maxpool", "stride"), ("none", "batch"), ("flatten", "average")):
        options = " ".join(
            f"--network.{name} {level}" for name, level in zip(OPERATIONS, levels, strict=True)
        )
        lines.append(_tuned(f"factorial/{'-'.join(levels)}", options, FACTORIAL_RATES, "3000-3004"))
    return "\n".join(lines)


def _tuned(name: str, options: str, first_rates: Sequence[str], seeds: str) -> str:
    """The arguments of one network of blocks, its learning rate chosen by these seeds
    and confirmed by twelve more.
    """
    rates = ",".join([*first_rates, *FURTHER_RATES.get(name, ())])
    choice = (
        f"--lr_scheduler onecycle --data.val_size 5000 --seeds {seeds} --grid lr={rates} "
        "--confirm 12"
    )
    return f"--name {name} --arch {BLOCKS} {options} {choice}"


def _controls() -> str:
    """The commands of the three controls of pooling."""
    lines = []
    for name, (downsampling, _, _, *channels) in factorial.CONTROLS.items():
        given = [
            f"--network.downsampling {downsampling}",
            *(f"--network.channels {widths}" for widths in channels),
        ]
        lines.append(_tuned(f"controls/{name}", " ".join(given), FACTORIAL_RATES[:-1], "3000-3002"))
    return "\n".join(lines)


BLOCKS = "lab.blocks.BlockNetwork"
FASHION_ROOT = "/usr/share/datasets/fashion-mnist"
FASHION = f"--arch {' '.join(NETWORKS)} --data.root {FASHION_ROOT}"
COLLAPSING = "--seeds 4000-4039 --epochs 1 --trainer.max_steps 300"

# Those beyond are added by the protocol where the largest or the smallest wins; the
# controls begin without the largest.
FACTORIAL_RATES = ("1e-3", "3e-3", "1e-2", "3e-2")
FURTHER_RATES = {"controls/average": ("3e-2",)}

WHY = f"--arch {BLOCKS} {COLLAPSING} --trainer.callbacks lab.preactivations.PreActivations"
WHY_CHANGES = ("frozen-biases", "asymmetric", "sgd-0.03", "sgd-0.1", "sgd-0.3", "batch-norm")

CROPPED = (
    "sprint-cropped",
    "sprint-cropped-narrow",
    "sprint-cropped-narrow-batch",
    "sprint-cropped-stride-batch",
    "sprint-cropped-narrow-batch-smoothed",
    "sprint-cropped-narrow-batch-smoothed-0.75",
)

EXPERIMENTS = {
    "interventions": Experiment(
        "What prevents MaxPool's collapse?",
        "Each variant changes one thing in the MaxPool network or its training, for 300 steps. "
        "Only one is another network, the course's BatchNorm network without batch normalisation.",
        f"--name interventions --arch {BLOCKS} {COLLAPSING} "
        f"--grid config={_configs('interventions', operations.CONFIGS)}",
        operations.interventions_tables,
        sentence=operations.interventions_sentence,
        figure=(operations.interventions_figure, "The share of collapsed runs of each variant"),
        page="operations",
    ),
    "why": Experiment(
        "Why does it collapse?",
        collapse.EXPLANATION,
        f"--name why/rates {WHY} --grid lr=1e-3,2e-3,3e-3,5e-3,1e-2,2e-2,3e-2,5e-2\n"
        f"--name why/changes {WHY} --grid config={_configs('why', WHY_CHANGES)}",
        collapse.why_tables,
        sentence=collapse.why_sentence,
        figure=(
            collapse.why_figure,
            "The mean of block 2's pre-activations divided by their spread, step by step",
        ),
        page="operations",
    ),
    "why-signs": Experiment(
        "Do a unit's gradients share their sign?",
        "The premise of that explanation, tested after it.",
        f"--name why-signs --arch {BLOCKS} --seeds 4000-4039 --epochs 1 --trainer.max_steps 5 "
        "--trainer.callbacks lab.gradients.GradientSigns --grid network.normalisation=none,batch",
        collapse.signs_tables,
        sentence=collapse.signs_sentence,
        page="operations",
    ),
    "cause": Experiment(
        "Is the shared sign the cause?",
        cause.TEXT,
        "",
        cause.cause_tables,
        sentence=cause.cause_sentence,
        figure=(
            cause.cause_figure,
            "The share of dead units of block 2 step by step, with changed and plain updates",
        ),
        page="operations",
    ),
    "fashion-collapse": Experiment(
        "Does it collapse on Fashion-MNIST?",
        "Other images of the same size, from Debian's package `dataset-fashion-mnist`.",
        f"--name fashion-collapse --arch maxpool batchnorm --data.root {FASHION_ROOT} {COLLAPSING}",
        operations.collapse_tables,
        sentence=operations.collapse_sentence,
        page="operations",
    ),
    "factorial": Experiment(
        "Which operation makes the difference?",
        "Every combination of the three operations, each at its own best learning rate.",
        _factorial(),
        factorial.factorial_tables,
        control=lambda run: run.arch == "maxpool" and cell_of(run) != NOTEBOOK,
        sentence=factorial.factorial_sentence,
        figure=(
            factorial.factorial_figure,
            "Accuracy on held-out images against the learning rate, every run a mark",
        ),
        page="operations",
    ),
    "controls": Experiment(
        "Is it keeping the largest value?",
        "MaxPool keeps the largest of four values. Stride 2 keeps one at a fixed place, so that "
        "the others need not be computed. Three controls: a fixed one of four computed values "
        "(subsample), their mean (average), and a stride network with MaxPool's arithmetic "
        "(wide-stride).",
        _controls(),
        factorial.controls_tables,
        sentence=factorial.controls_sentence,
        page="operations",
    ),
    "compute": Experiment(
        "Does MaxPool lead with equal compute?",
        compute.TEXT,
        "",
        compute.compute_tables,
        sentence=compute.compute_sentence,
        figure=(
            compute.compute_figure,
            "Error on held-out images against the learning rate, every run a mark",
        ),
        page="operations",
    ),
    "fashion-best": Experiment(
        "Fashion-MNIST at tuned rates",
        "Other images of the same size, from Debian's package `dataset-fashion-mnist`; each "
        "network at the best of three learning rates, by two runs of each.",
        f"--name fashion-best {FASHION} --lr_scheduler onecycle --data.val_size 5000 "
        "--seeds 3000,3001 --grid lr=1e-3,3e-3,1e-2 --confirm 6",
        operations.fashion_tables,
        sentence=operations.fashion_sentence,
        page="operations",
    ),
    "fashion-notebook": Experiment(
        "Fashion-MNIST at the notebook's setting",
        "Does MaxPool collapse here too? These runs are too few to tell.",
        f"--name fashion-notebook {FASHION} --seeds 3002,3003,3004,3005,3006,3007",
        operations.fashion_tables,
        sentence=operations.fashion_sentence,
        page="operations",
    ),
    "onecycle": Experiment(
        "Five epochs",
        "What `configs/onecycle.yaml` reaches on the test set. It was chosen by hand among eleven "
        "settings, by two runs each on held-out images, of an older code: `git show "
        "36300c8:docs/data/candidates-batchnorm.jsonl`.",
        "--name onecycle --config configs/onecycle.yaml --arch maxpool batchnorm --seeds 5",
        settings.setting_tables,
    ),
    "long": Experiment(
        "Thirty epochs",
        "What `configs/long.yaml` reaches on the test set. Two runs of MaxPool on held-out images "
        "chose it between two settings; two of BatchNorm, later, would have chosen the other. They "
        "are of an older code: `git show 36300c8:docs/data/candidates-long.jsonl`.",
        "--name long --config configs/long.yaml --arch maxpool --seeds 20",
        settings.setting_tables,
    ),
    "sprint": Experiment(
        "Sprint",
        f"Does `configs/sprint.yaml` get to {settings.share_text(FAST)} in one epoch, and how "
        "soon? [performance.md](performance.md) has the seconds from the command.",
        f"--name sprint --config configs/sprint.yaml --arch {BLOCKS} --seeds 10 --jobs 1 "
        "--threads 2 --grid trainer.precision=bf16-mixed,32-true",
        partial(settings.time_tables, goal=FAST),
    ),
    "candidates-cropped": Experiment(
        "Candidates for the sprint",
        "They crop the images' black edges, and most have half as many channels. `sprint.yaml` is "
        "sprint-cropped-narrow-batch-smoothed, which was chosen, and tested, before these runs.",
        f"--name candidates/cropped --arch {BLOCKS} --epochs 1 --seeds 200,201 "
        f"--data.val_size 10000 --grid config={_configs('candidates', CROPPED)}",
        settings.candidates_tables,
    ),
    "quick": Experiment(
        "Quick",
        f"Does `configs/quick.yaml` get to {settings.share_text(settings.ACCURATE)} in eight "
        "epochs, and how soon? Its candidates were not recorded.",
        f"--name quick --config configs/quick.yaml --arch {BLOCKS} --seeds 10 --jobs 1 --threads 2 "
        "--grid trainer.precision=bf16-mixed",
        partial(settings.time_tables, goal=settings.ACCURATE),
    ),
}
