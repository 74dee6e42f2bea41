"""The parts of written pages that are made of numbers: each stands between two marks that bear its name."""

import re
from collections.abc import Mapping
from pathlib import Path

from convblocks.atomic import write
from docs.comparisons import REPOSITORY

SECTION = re.compile(r"<!-- ([\w -]+): begin -->(.*?)<!-- \1: end -->", re.DOTALL)


def write_sections(out: Path, page: str, sections: Mapping[str, str]) -> None:
    """Write a page of the repository into a folder, with these sections by their names.

    Of the others the folder's own stay, where it has the page.
    """
    text = (REPOSITORY / page).read_text()
    own = (out / page).read_text() if (out / page).is_file() else text
    contents = {name: content.strip() for name, content in SECTION.findall(text)}
    contents |= {name: content.strip() for name, content in SECTION.findall(own) if name in contents}
    if unknown := sections.keys() - contents.keys():
        raise ValueError(f"{page} has no marks for {', '.join(sorted(unknown))}")
    contents |= sections
    write(out / page, SECTION.sub(lambda found: _marked(found[1], contents[found[1]]), text))


def _marked(name: str, content: str) -> str:
    return "\n".join(filter(None, [f"<!-- {name}: begin -->", content, f"<!-- {name}: end -->"]))
