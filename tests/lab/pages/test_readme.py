"""What README.md and pages of docs/manual show runs as it stands there."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from convblocks.model.names import RECORDS
from lab import NETWORKS
from lab.benchmarks.pictures.measure import ON_DEMAND
from lab.benchmarks.rows import Results
from lab.pages.writing import DATA, read_raw_numbers
from tests.conftest import REPOSITORY
from tests.data.pictures import write_pictures
from tests.quick_python import quick_python
from tests.scripts import run_fresh

README = (REPOSITORY / "README.md").read_text()
OWN, CODE, MOVING, LARGE = (
    (REPOSITORY / "docs" / "manual" / f"{name}.md").read_text()
    for name in ("own", "code", "moving", "large")
)


def blocks(language: str, text: str) -> list[str]:
    code: list[str] = re.findall(
        rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL
    )
    return code


# Of a program in a file the first line says which.
FILES = {
    match[1]: block
    for block in blocks("python", OWN + MOVING + LARGE)
    if (match := re.match(r"# (\w+\.py)\n", block))
}
PROGRAMS = [block for block in blocks("python", README + OWN) if block not in FILES.values()]
# One after the other: some take what another has left.
(PICTURES,) = re.findall(r"`(python scripts/fit\.py .*--data\.root .*?)`", README)
CLASSES, *_ = blocks("bash", OWN.partition("## A data set, a network and a loss")[2])
TASK, *_ = blocks("bash", OWN.partition("## Any other task")[2])
# A config that LightningCLI has made is there.
CLI = """import curve
from lightning.pytorch.cli import LightningCLI
words = "fit --model curve.Curve --data curve.Points --trainer.max_epochs 2 --print_config"
LightningCLI(args=words.split())"""
COMMANDS = [
    PICTURES,
    CLASSES,
    TASK,
    f"python -c '{CLI}' > config.yaml",
    *blocks("bash", MOVING),
    "\n".join(blocks("bash", LARGE)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The scripts, a folder of pictures of any size, and the files that the README shows."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "scripts").symlink_to(REPOSITORY / "scripts")
    write_pictures(folder / "flowers", size=(40, 36), train=100)
    for name, content in FILES.items():
        (folder / name).write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        folders = [str(quick_python().parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        patch.setenv("PATH", os.pathsep.join(folders))
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "commands"),
    [
        *(("python -c", program) for program in PROGRAMS),
        *(("bash -ec", block) for block in COMMANDS),
    ],
)
def test_readme_and_manual_run_as_shown(shell: str, commands: str, folder: Path) -> None:
    finished = subprocess.run(
        [*shell.split(), commands],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("page", [MOVING, LARGE])
def test_page_is_read_in_two_minutes(page: str) -> None:
    assert len(page.split()) <= 500


def test_page_on_large_data_has_the_speed_that_was_measured() -> None:
    results = read_raw_numbers(DATA, "pictures", Results)
    a_turn = {"part": "reading", "way": ON_DEMAND}
    speed = results.median("images", **a_turn) / results.median("seconds", **a_turn)
    words = " ".join(LARGE.split())
    assert f"decode {speed:.0f} photographs of 500 x 375 a second" in words
    assert f"an epoch of 50,000 takes at least {50_000 / speed / 60:.1f} minutes" in words


def test_readme_is_short() -> None:
    """In lines, and in words as they are shown: without marks, tags and addresses."""
    shown = re.sub(
        r"<!--.*?-->|<[^>]*>", " ", MarkdownIt("commonmark").enable("table").render(README)
    )
    assert len(README.splitlines()) <= 100
    assert len([word for word in shown.split() if re.search(r"\w", word)]) <= 700


def test_answer_is_at_most_three_sentences_and_a_table() -> None:
    answer, _, table = README.partition("<!-- answer: begin -->\n")[2].partition("\n\n| ")
    assert table.startswith("network | ")
    assert len(re.findall(r"\.(?:\*\*)?(?=\s|$)", answer)) <= 3


@pytest.mark.slow
def test_summary_counts_the_multiply_adds_of_readmes_table() -> None:
    printed = run_fresh(["scripts/summary.py"], REPOSITORY, {}, timeout=120).stdout
    counts = re.findall(r"^Total mult-adds \(M\): (.*)$", printed, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` .* \| ([\d.]+) M \|$", README, re.MULTILINE)
    counted = dict(zip(RECORDS, counts, strict=True))
    assert {arch: counted[arch] for arch in NETWORKS} == dict(rows)


def first_commands() -> list[str]:
    """Those of README's first block, in which a backslash continues a line."""
    return re.sub(r"\\\n *", "", blocks("bash", README)[0]).splitlines()


def test_readme_begins_with_two_commands_for_everything() -> None:
    first, second = first_commands()
    assert all(part in first for part in ("venv", "pip install -e . ", "scripts/fit.py"))
    assert all(part in second for part in ("[test]", "pytest"))


def test_first_commands_fit_a_phone_and_come_after_what_they_download() -> None:
    before, block, _ = README.partition(blocks("bash", README)[0])
    assert max(map(len, block.splitlines())) <= 44
    downloads = " ".join(before.split())
    assert all(words in downloads for words in ("MNIST is included", "several GB"))


def test_front_page_leads_to_pages_that_a_host_of_code_renders() -> None:
    """Not to HTML, of which it shows the source, or to the notebook without outputs."""
    targets = re.findall(r"\]\(([^()]*)\)", README)
    assert {"docs/play/README.md", "docs/lesson/README.md"} <= set(targets)
    assert [target for target in targets if re.search(r"\.(html|ipynb)$", target)] == []
