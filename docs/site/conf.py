"""The site: the repository's Markdown and its notebook as they are, and a reference of
what convblocks exports.

The source folder is the repository, so that pages and links are where they are in a
clone. A link to a file that is no page, such as a record in docs/data or a source file,
downloads it.
"""

import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

from convblocks import NETWORK_CLASSES

HERE = Path(__file__).resolve().parent

project = html_title = "convblocks"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
root_doc = "README"
include_patterns = ["*.md", "data/MNIST/*.md", "docs/**", "notebooks/*", "src/exact_resume/*.md"]
exclude_patterns = ["docs/site/contents.md", "docs/play/README.md"]
highlight_language = "none"  # of blocks that do not say

myst_enable_extensions = ["html_image"]
myst_heading_anchors = 4
nb_execution_mode = "off"  # the notebook holds its outputs
nb_merge_streams = True

autodoc_inherit_docstrings = False  # Lightning's and torch's are not ours
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100

html_theme = "furo"
# As dark figures.
html_theme_options = {"dark_css_variables": {"color-background-primary": "#0d1117"}}
templates_path = ["."]  # sidebar/navigation.html
html_copy_source = html_show_copyright = False

# The line of api.rst for which the registered networks' classes stand, and what they are there.
NETWORKS = (
    ".. NETWORKS: conf.py puts the classes here\n",
    "".join(f".. autoclass:: convblocks.{name}\n" for name in NETWORK_CLASSES),
)

PICTURE = re.compile(r'<picture>\s*<source [^>]*srcset="(.*?)">\s*<img ([^>]*)>\s*</picture>')
PLAY = re.compile(r"\[([^][]*)\]\([\w./]*play/(?:index\.html|README\.md)(\S*?)\)")


def adapt(app: Sphinx, page: str, source: list[str]) -> None:
    """Let pictures follow the site's theme, links to the playable page open it, and
    README have the sidebar's pages, and the reference the registered networks.
    """
    text = PICTURE.sub(
        r'<img class="only-light" \2>\n<img class="only-dark" \2 src="\1">\n', source[0]
    )
    play = "../" * page.count("/") + "play/index.html"
    # No double quotes: a notebook is JSON.
    source[0] = PLAY.sub(rf"<a href='{play}\2'>\1</a>", text)
    if page == root_doc:
        source[0] += (HERE / "contents.md").read_text()
    source[0] = source[0].replace(*NETWORKS)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Add the playable page at play/, whose way back is to the site, and let the site's
    address open README.
    """
    if error or app.builder.name != "html":
        return
    play = app.outdir / "play"
    shutil.copytree(HERE.parent / "play", play, dirs_exist_ok=True)
    page = play / "index.html"
    page.write_text(page.read_text().replace("../../README.md", "../index.html"))
    shutil.copy(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> None:
    app.connect("source-read", adapt)
    app.connect("build-finished", finish)
