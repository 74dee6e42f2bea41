"""The names of networks, settings and measures in reports, and the notebook's own run."""

from collections.abc import Sequence

from convblocks.compare.analysis import GOAL, Comparison, Measure
from convblocks.compare.results import is_number, is_of_mnist
from convblocks.compare.trials import NO_SETTINGS, PATHS
from convblocks.figures.estimates import Estimate
from convblocks.run.result import Overrides, RunResult

NOTEBOOK = "notebook's mlp"

# What the course's notebook prints for its MLP, after 5 epochs of a single run: parameters, losses, accuracy.
NOTEBOOK_MLP = ("79,510", "0.28", "0.16", "95.38")

# The settings of that run; any other option must not be set, but for those of NO_INFLUENCE.
NOTEBOOK_SETTINGS = {
    "epochs": "5",
    "lr": "0.01",
    "batch_size": "64",
    "optimizer": "adam",
    "lr_scheduler": "constant",
    "data.val_size": "0",
}
NO_INFLUENCE = ("threads", *NO_SETTINGS)

# Networks within a sentence.
NAMES = {"mlp": "the MLP", "maxpool": "MaxPool", "batchnorm": "BatchNorm"}

MEASURES: dict[Measure, str] = {
    "first_loss": "epoch-1 train loss",
    "last_loss": "last train loss",
    "seconds_to_goal": f"seconds to {100 * GOAL:.0f} % accuracy",
}


def name_of(arch: str) -> str:
    """A network within a sentence."""
    return NAMES.get(arch, arch)


def measure_name(comparison: Comparison, measure: Measure) -> str:
    """A measure in a table."""
    return MEASURES.get(measure, comparison.results[0].score_name)


def noun_of(results: Sequence[RunResult]) -> str:
    """What is compared."""
    return "network" if results[0].judge.in_percent else "model"


def sentence(text: str, names: Sequence[str] = ()) -> str:
    """A text with a capital letter, unless it begins with one of these names, and a full stop."""
    begins_with_name = any(text.startswith(name) for name in names)
    return f"{text if begins_with_name else text[0].upper() + text[1:]}."


def own_names(comparison: Comparison) -> list[str]:
    """The names that users gave, which stay as they are."""
    return [arm.arch for arm in comparison.arms if arm.arch not in NAMES]


def lead_text(lead: Estimate) -> str:
    """``0.29 points [0.24, 0.34]``, or a note that there are too few runs for an interval."""
    return f"{lead:u}{'' if lead.interval() else ', from too few runs'}"


def settings_text(overrides: Overrides, options: Sequence[str]) -> str:
    """Settings for people: ``lr 1e-2, onecycle``."""
    chosen = [pair for pair in overrides if pair[0] in options]
    return ", ".join(_setting(option, value) for option, value in chosen) or "none"


def is_notebooks(comparisons: Sequence[Comparison]) -> bool:
    """Whether the MLP was trained as in the notebook, whose figures are of these settings and of MNIST."""
    arm = comparisons[0].arms[0]
    same = all(is_of_mnist(one) for one in comparisons[0].results)
    return len(comparisons) == 1 and arm.arch == "mlp" and same and _are_notebooks(arm.overrides)


def _setting(option: str, value: str) -> str:
    if option == "lr_scheduler":
        return value
    return f"{option} {value.rstrip('/').rpartition('/')[2] if option in PATHS else value}"


def _are_notebooks(overrides: Overrides) -> bool:
    given = {option: value for option, value in overrides if option not in NO_INFLUENCE}
    return given.get("epochs") == "5" and all(
        _same(value, NOTEBOOK_SETTINGS.get(option, "")) for option, value in given.items()
    )


def _same(one: str, other: str) -> bool:
    return float(one) == float(other) if is_number(one) and is_number(other) else one == other
