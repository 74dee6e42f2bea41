"""Names and settings in the sentences and cells of reports."""

from collections.abc import Iterable, Sequence

from convblocks.compare.trials import PATHS
from convblocks.run.result import Overrides

# Networks within a sentence.
NAMES = {"mlp": "the MLP", "maxpool": "MaxPool", "batchnorm": "BatchNorm"}


def name_of(arch: str) -> str:
    """A network within a sentence."""
    return NAMES.get(arch, arch)


def sentence(text: str, archs: Iterable[str] = ()) -> str:
    """A text with a capital letter, unless it begins with one of these networks' own names, and a full stop."""
    begins_with_name = any(text.startswith(arch) for arch in archs if arch not in NAMES)
    return f"{text if begins_with_name else text[0].upper() + text[1:]}."


def settings_text(overrides: Overrides, options: Sequence[str]) -> str:
    """Settings for people: ``lr 1e-2, onecycle``."""
    values = [(option, value) for option, value in overrides if option in options]
    names = [(option, value.rstrip("/").rpartition("/")[2] if option in PATHS else value) for option, value in values]
    return ", ".join(value if option == "lr_scheduler" else f"{option} {value}" for option, value in names) or "none"
