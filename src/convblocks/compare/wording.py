"""The names of networks and settings in reports."""

from collections.abc import Sequence

from convblocks.compare.trials import PATHS
from convblocks.run.result import Overrides, RunResult

# Networks within a sentence.
NAMES = {"mlp": "the MLP", "maxpool": "MaxPool", "batchnorm": "BatchNorm"}


def name_of(arch: str) -> str:
    """A network within a sentence."""
    return NAMES.get(arch, arch)


def noun_of(results: Sequence[RunResult]) -> str:
    """What is compared."""
    return "network" if results[0].judge.in_percent else "model"


def sentence(text: str, archs: Sequence[str] = ()) -> str:
    """A text with a capital letter, unless it begins with one of these networks' own names, and a full stop."""
    begins_with_name = any(text.startswith(arch) for arch in archs if arch not in NAMES)
    return f"{text if begins_with_name else text[0].upper() + text[1:]}."


def settings_text(overrides: Overrides, options: Sequence[str]) -> str:
    """Settings for people: ``lr 1e-2, onecycle``."""
    return ", ".join(_setting(option, value) for option, value in overrides if option in options) or "none"


def _setting(option: str, value: str) -> str:
    if option == "lr_scheduler":
        return value
    return f"{option} {value.rstrip('/').rpartition('/')[2] if option in PATHS else value}"
