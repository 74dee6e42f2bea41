"""The experiments beside the study, each described once: its commands, what is shown, and where.

`python -m lab.train` trains their runs and keeps them in docs/data/, `python -m
lab.pages` makes their pages.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

from matplotlib.figure import Figure

from convblocks.figures.tables import Table
from convblocks.record.result import RunResult
from lab import NETWORKS
from lab.benchmarks.training.page import FAST
from lab.by_seed import BLOCKS, SHORT
from lab.factorial import OPERATIONS
from lab.pages import cause, collapse, compute, direction, factorial, operations, remedy, settings
from lab.study.decision import cell_of
from lab.study.plan import NOTEBOOK

# Experiments that ask for seconds, to which each machine has its own answer; others may
# share theirs with other work.
TIMED = ("sprint", "quick")


@dataclass(frozen=True)
class Experiment:
    """What a written page shows of runs, between marks with the experiment's name, and the
    arguments of ``scripts/compare.py`` that train them.

    Several commands have a line each; those of ``lab.by_seed`` are not here, and nothing is
    shown before the first of their runs. ``sentence`` is the finding, ``figure`` a picture
    and what it shows; ``control`` says with which runs of the study's second stage its
    own are compared, if with any; ``details`` are tables for a second page, which has the
    name of the first and ``-details``.
    """

    arguments: str
    tables: Callable[..., list[Table]]
    control: Callable[[RunResult], bool] | None = None
    sentence: Callable[[Sequence[RunResult]], str] | None = None
    figure: tuple[Callable[[Sequence[RunResult]], Figure], str] | None = None
    page: str = "operations"
    details: Callable[[Sequence[RunResult]], list[Table]] | None = None

    @property
    def commands(self) -> list[str]:
        return self.arguments.splitlines()


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


FASHION_ROOT = "/usr/share/datasets/fashion-mnist"
FASHION = f"--arch {' '.join(NETWORKS)} --data.root {FASHION_ROOT}"
COLLAPSING = f"--seeds 4000-4039 {SHORT}"

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
        f"--name interventions --arch {BLOCKS} {COLLAPSING} "
        f"--grid config={_configs('interventions', operations.CONFIGS)}",
        operations.interventions_tables,
        sentence=operations.interventions_sentence,
        figure=(operations.interventions_figure, "The share of collapsed runs of each variant"),
        page="collapse",
    ),
    "why": Experiment(
        f"--name why/rates {WHY} --grid lr=1e-3,2e-3,3e-3,5e-3,1e-2,2e-2,3e-2,5e-2\n"
        f"--name why/changes {WHY} --grid config={_configs('why', WHY_CHANGES)}",
        collapse.why_tables,
        sentence=collapse.why_sentence,
        figure=(
            collapse.why_figure,
            "The mean of block 2's pre-activations divided by their spread, step by step",
        ),
        page="collapse",
    ),
    "why-signs": Experiment(
        f"--name why-signs --arch {BLOCKS} --seeds 4000-4039 --epochs 1 --trainer.max_steps 5 "
        "--trainer.callbacks lab.gradients.GradientSigns --grid network.normalisation=none,batch",
        collapse.signs_tables,
        sentence=collapse.signs_sentence,
        page="collapse",
    ),
    "cause": Experiment(
        "",
        cause.cause_tables,
        sentence=cause.cause_sentence,
        figure=(
            cause.cause_figure,
            "The share of dead units of block 2 step by step, with changed and plain updates",
        ),
        page="cause",
        details=cause.details_tables,
    ),
    "direction": Experiment(
        "",
        direction.direction_tables,
        sentence=direction.direction_sentence,
        figure=(
            direction.direction_figure,
            "The share of dead units of block 2 step by step, with each control",
        ),
        page="cause",
        details=direction.details_tables,
    ),
    "remedy": Experiment("", remedy.remedy_tables, sentence=remedy.remedy_sentence, page="remedy"),
    "fashion-collapse": Experiment(
        f"--name fashion-collapse --arch maxpool batchnorm --data.root {FASHION_ROOT} {COLLAPSING}",
        operations.collapse_tables,
        sentence=operations.collapse_sentence,
        page="fashion",
    ),
    "factorial": Experiment(
        _factorial(),
        factorial.factorial_tables,
        control=lambda run: run.arch == "maxpool" and cell_of(run) != NOTEBOOK,
        sentence=factorial.factorial_sentence,
        figure=(
            factorial.factorial_figure,
            "Accuracy on held-out images against the learning rate, every run a mark",
        ),
    ),
    "controls": Experiment(
        _controls(), factorial.controls_tables, sentence=factorial.controls_sentence
    ),
    "compute": Experiment(
        "",
        compute.compute_tables,
        sentence=compute.compute_sentence,
        figure=(
            compute.compute_figure,
            "Error on held-out images against the learning rate, every run a mark",
        ),
        page="compute",
    ),
    "fashion-best": Experiment(
        f"--name fashion-best {FASHION} --lr_scheduler onecycle --data.val_size 5000 "
        "--seeds 3000,3001 --grid lr=1e-3,3e-3,1e-2 --confirm 6",
        operations.fashion_tables,
        sentence=operations.fashion_sentence,
        page="fashion",
    ),
    "fashion-notebook": Experiment(
        f"--name fashion-notebook {FASHION} --seeds 3002,3003,3004,3005,3006,3007",
        operations.fashion_tables,
        sentence=operations.fashion_sentence,
        page="fashion",
    ),
    "onecycle": Experiment(
        "--name onecycle --config configs/onecycle.yaml --arch maxpool batchnorm --seeds 5",
        settings.setting_tables,
        page="experiments",
    ),
    "long": Experiment(
        "--name long --config configs/long.yaml --arch maxpool --seeds 20",
        settings.setting_tables,
        page="experiments",
    ),
    "sprint": Experiment(
        f"--name sprint --config configs/sprint.yaml --arch {BLOCKS} --seeds 10 --jobs 1 "
        "--threads 2 --grid trainer.precision=bf16-mixed,32-true",
        partial(settings.time_tables, goal=FAST),
        page="experiments",
    ),
    "candidates-cropped": Experiment(
        f"--name candidates/cropped --arch {BLOCKS} --epochs 1 --seeds 200,201 "
        f"--data.val_size 10000 --grid config={_configs('candidates', CROPPED)}",
        settings.candidates_tables,
        page="experiments",
    ),
    "quick": Experiment(
        f"--name quick --config configs/quick.yaml --arch {BLOCKS} --seeds 10 --jobs 1 --threads 2 "
        "--grid trainer.precision=bf16-mixed",
        partial(settings.time_tables, goal=settings.ACCURATE),
        page="experiments",
    ),
}
