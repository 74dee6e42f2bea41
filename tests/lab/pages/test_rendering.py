"""The repository's pages as GitHub renders them: none shows its source, and every link
leads somewhere.
"""

import json
import re
import subprocess
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

from tests.conftest import REPOSITORY

# GitHub's Markdown is CommonMark with these. They and HTML are rendered alike, but for
# its filter of tags.
GITHUB = MarkdownIt("commonmark").enable(["table", "strikethrough"])
ESCAPED = {
    "iframe",
    "noembed",
    "noframes",
    "plaintext",
    "script",
    "style",
    "textarea",
    "title",
    "xmp",
}

# Elements without an end tag.
VOID = {"br", "hr", "img", "input", "source", "wbr"}

HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}

# What a reader should never see outside of code.
SOURCE = re.compile(
    r"""!?\[[^][]*\]\([^()\s]*\)  # a link or a picture
    | \*\*|~~|`                   # bold, struck out, code
    | (?<![\w*])\*\w[^*]*\*(?!\w) # emphasis
    | (?<!\w)_\w[^_]*_(?!\w)
    | ^[ ]*\#{1,6}[ ].*           # a heading
    | ^[ ]*\|.*\|[ ]*$            # a row of a table
    | </?[a-zA-Z][^>]*>|<!--      # HTML
    """,
    re.MULTILINE | re.VERBOSE,
)


class Rendered(HTMLParser):
    """A page as a browser reads it: its targets and anchors, and the faults that a reader sees."""

    def __init__(self, markdown: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors = set[str]()
        self.alternatives: list[str] = []
        self.faults: list[str] = []
        self.open: list[str] = []
        self.heading = ""
        html: str = GITHUB.render(markdown)
        self.feed(html)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag in self.open]
        if html.count("<!--") > html.count("-->"):
            self.faults.append("a comment is not closed")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ESCAPED:
            self.faults.append(f"<{tag}> is shown as text")
        if tag not in VOID:
            self.open.append(tag)
        if tag in HEADINGS:
            self.heading = ""
        self.targets += [value or "" for name, value in attrs if name in ("href", "src", "srcset")]
        self.anchors |= {value or "" for name, value in attrs if name in ("id", "name")}
        if tag == "img":
            self.alternatives.append(dict(attrs).get("alt") or "")

    handle_startendtag = handle_starttag

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.open:
            self.faults.append(f"</{tag}> closes nothing")
            return
        while (last := self.open.pop()) != tag:
            self.faults.append(f"<{last}> is not closed")
        if tag in HEADINGS:
            self.anchors.add(re.sub(r"[^\w -]", "", self.heading.strip().lower()).replace(" ", "-"))

    def handle_data(self, data: str) -> None:
        self.heading += data
        if not {"code", "pre"} & set(self.open):
            self.faults += [f"{found[0]} is shown as text" for found in SOURCE.finditer(data)]


@cache
def rendered(path: Path) -> list[Rendered]:
    """A page of Markdown, or each such cell of a notebook, which is rendered by itself."""
    if path.suffix == ".md":
        return [Rendered(path.read_text())]
    cells = json.loads(path.read_text())["cells"]
    return [Rendered("".join(cell["source"])) for cell in cells if cell["cell_type"] == "markdown"]


def broken(target: str, page: Path) -> str | None:
    """What is wrong with a link of a page; a link to another site is not followed."""
    if re.match(r"[a-z]+:", target):
        return None
    name, _, anchor = target.partition("#")
    path = (page.parent / unquote(name)).resolve() if name else page
    if not path.exists() or not path.is_relative_to(REPOSITORY):
        return f"{target}: no such file"
    pages = rendered(path) if path.suffix in (".md", ".ipynb") else []
    if anchor and pages and not any(anchor in part.anchors for part in pages):
        return f"{target}: no such heading"
    return None


def pages() -> list[str]:
    """All pages."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "*.ipynb"]
    listed = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    return [name for name in sorted(listed) if (REPOSITORY / name).is_file()]


@pytest.mark.parametrize("name", pages())
def test_page_shows_no_source_and_its_links_lead_somewhere(name: str) -> None:
    page = REPOSITORY / name
    for part in rendered(page):
        assert (
            part.faults + [fault for target in part.targets if (fault := broken(target, page))]
            == []
        )


@pytest.mark.parametrize("name", pages())
def test_pictures_of_a_page_have_alternative_texts_and_no_two_the_same(name: str) -> None:
    texts = [text for part in rendered(REPOSITORY / name) for text in part.alternatives]
    assert all(texts)
    assert len({*texts}) == len(texts)


@pytest.mark.parametrize(
    ("markdown", "fault"),
    [
        (
            "<picture>\n<img src=LICENSE>\n</picture>\n[the rest](LICENSE)",
            "[the rest](LICENSE) is shown as text",
        ),
        ("<div>\n**in bold**\n</div>", "** is shown as text"),
        ("<div>\nan *emphasis*\n</div>", "*emphasis* is shown as text"),
        ("<div>\n`code`\n</div>", "` is shown as text"),
        ("| a |\n| b | c |\n", "| a | is shown as text"),
        ("<div>\n# Title\n</div>", "# Title is shown as text"),
        ("In \\<b>bold", "<b> is shown as text"),
        ("<style>b {}</style>", "<style> is shown as text"),
        ("runs/<name>/seed", "<name> is not closed"),
        ("<details><summary>More</details>", "<summary> is not closed"),
        ("Text\n\n</details>", "</details> closes nothing"),
        ("<!-- begin\n\nText", "a comment is not closed"),
        ("[page](docs/none.md)", "docs/none.md: no such file"),
        ("![picture](docs/none.png)", "docs/none.png: no such file"),
        ("<source srcset='docs/none.png'>", "docs/none.png: no such file"),
        ("[part](CONTRIBUTING.md#none)", "CONTRIBUTING.md#none: no such heading"),
        ("[up](../)", "../: no such file"),
    ],
)
def test_fault_of_a_page_is_found(markdown: str, fault: str) -> None:
    page = Rendered(markdown)
    assert fault in [
        *page.faults,
        *(broken(target, REPOSITORY / "README.md") for target in page.targets),
    ]
