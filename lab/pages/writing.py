"""How pages are put together: blocks, tables, and the parts of written pages that are
made of numbers.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn
from torchinfo import summary

from convblocks.data.images import MNIST, ImageSpec
from convblocks.figures.tables import Table, to_markdown
from exact_resume.files import write

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = REPOSITORY / "docs" / "data"

# A part that is made of numbers stands between two marks that bear its name.
SECTION = re.compile(r"<!-- ([\w -]+): begin -->\n(?:(.*?)\n)?<!-- \1: end -->", re.DOTALL)


def write_page(path: Path, *blocks: str | Sequence[Table], level: int = 2) -> None:
    """Write texts and tables, these under headings of that level."""
    written = []
    for block in blocks:
        if isinstance(block, str):
            written.append(block)
        else:
            written.append(to_markdown(block, level).strip())
    write(path, "\n\n".join(written) + "\n")


def table(title: str, rows: Sequence[Mapping[str, str]], *notes: str) -> Table:
    """A table of rows that have the same columns."""
    columns = list(rows[0])
    return Table(title, columns, [[row[column] for column in columns] for row in rows], notes)


def multiply_adds(network: nn.Module, image_spec: ImageSpec = MNIST) -> int:
    """The multiplications with an addition that a forward pass of one image takes, as
    torchinfo counts them.
    """
    count: int = summary(network, input_size=(1, *image_spec.shape), verbose=0).total_mult_adds
    return count


def millions(count: int) -> str:
    return f"{count / 1e6:.2f} M"


def write_sections(out: Path, page: str, sections: Mapping[str, str]) -> None:
    """Write a page of the repository into a folder, with these sections by their names.

    Of the others the folder's own stay, where it has the page.
    """
    text = (REPOSITORY / page).read_text()
    contents = dict(SECTION.findall(text))
    unknown = sections.keys() - contents.keys()
    if unknown:
        raise ValueError(f"{page} has no marks for {', '.join(sorted(unknown))}")
    path = out / page
    if path.is_file():
        contents |= SECTION.findall(path.read_text())
    contents |= sections

    def marked(section: re.Match[str]) -> str:
        name = section[1]
        lines = [f"<!-- {name}: begin -->", contents[name], f"<!-- {name}: end -->"]
        return "\n".join(filter(None, lines))

    write(path, SECTION.sub(marked, text))
