"""The option ``--figure`` of commands that draw."""

from pathlib import Path

from convblocks.errors import UsageError

FORMATS = (".pdf", ".png", ".svg")


def figure_file(text: str) -> Path:
    """The file of ``--figure``, whose ending is its format; an earlier one is replaced.

    Raises:
        UsageError: there is no such format, or no such folder.
    """
    path = Path(text)
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--figure {text}: its name must end in one of {', '.join(FORMATS)}")
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"--figure {text}: it must be a file in an existing folder")
    return path
