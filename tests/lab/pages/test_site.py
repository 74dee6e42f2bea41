"""The documentation as a site: built without a warning, and whole."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import convblocks
from tests.conftest import REPOSITORY, needs
from tests.scripts import run_fresh

LINK = re.compile(r"""\b(?:href|src|srcset)=["']([^"'#?:]+)[^"':]*["']""")


@pytest.mark.nightly
def test_site_has_all_that_its_pages_link_to_and_every_public_name(tmp_path: Path) -> None:
    for package in ("sphinx", "myst_nb", "furo"):
        needs(package)
    site = tmp_path / "site"
    command = ["-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs/site", ".", str(site)]
    built = run_fresh(command, REPOSITORY, {}, timeout=600)
    assert built.returncode == 0, built.stderr
    pages = {page: page.read_text() for page in site.rglob("*.html")}
    links = [
        (page, page.parent / unquote(link))
        for page, text in pages.items()
        for link in LINK.findall(text)
    ]
    assert [(page, to) for page, to in links if not to.exists()] == []
    assert {to.resolve() for _, to in links} >= {
        page for page in pages if page.name != "index.html"
    }
    assert site / "play" / "index.html" in {
        to.resolve() for page, to in links if page == site / "index.html"
    }
    reference = pages[site / "docs" / "site" / "api.html"]
    public = [name for name in convblocks.__all__ if not name.startswith("_")]
    assert [name for name in public if f'id="convblocks.{name}"' not in reference] == []
