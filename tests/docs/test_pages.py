"""The documentation's pages are what docs/data/ makes of them: nobody writes a number by hand."""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from convblocks.comparison.study.plan import CONFIRMING_SEEDS, NOTEBOOK, Cell, to_choose
from convblocks.errors import UserError
from convblocks.runs.result import RunResult, write_results
from docs import pages, tables
from docs.comparisons import COMMANDS, DATA
from docs.sections import SECTION
from tests.comparison.made_up import MACHINE, course, provenance, result
from tests.conftest import REPOSITORY

# The study's page has most runs, and figures; for that on handwriting 400 pictures are drawn.
SLOW = ("results", "handwriting")
COMMITTED = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in pages.PAGES]

# Root mean square of the differences between two pictures' values, 0..255, that may be.
TOLERANCE = 3.0

# Another version of matplotlib sets letters a little differently, which is not to be seen in so much smaller a picture.
SHRUNK = 16


def written(page: str, data: Path, folder: Path) -> dict[str, Path]:
    """The files of a page, by their names in the repository."""
    for name in ("lab", "manual"):
        (folder / "docs" / name).mkdir(parents=True)
    pages.PAGES[page].write(data, folder)
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


def are_alike(one: Path, other: Path) -> bool:
    """Pages to the byte, pictures but for what versions of matplotlib have otherwise."""
    if one.suffix != ".png":
        return one.read_bytes() == other.read_bytes()
    with Image.open(one) as first, Image.open(other) as second:
        if first.size != second.size:
            return False
        scale = 1 if first.info.get("Software") == second.info.get("Software") else SHRUNK
        values = [np.asarray(image.convert("RGB").reduce(scale), float) for image in (first, second)]
    return bool(np.sqrt(np.mean((values[0] - values[1]) ** 2)) <= TOLERANCE)


@pytest.mark.parametrize("page", COMMITTED)
def test_a_page_is_made_of_the_numbers_that_are_kept(page: str, tmp_path: Path) -> None:
    files = written(page, DATA, tmp_path)
    assert any(name.endswith(".md") for name in files)
    different = [name for name, path in files.items() if not are_alike(path, REPOSITORY / name)]
    assert not different, "not made of docs/data/: run python docs/pages.py"


@pytest.mark.parametrize(
    ("page", "altered"),
    [("performance", ("growth", 0, "timing", "training")), ("processes", ("compared", 0, "seconds"))],
)
def test_another_number_makes_another_page(page: str, altered: Sequence[str | int], tmp_path: Path) -> None:
    numbers = json.loads((DATA / f"{page}.json").read_text())
    *path, last = altered
    place = numbers
    for key in path:
        place = place[key]
    place[last] *= 2
    (tmp_path / f"{page}.json").write_text(json.dumps(numbers))
    files = written(page, tmp_path, tmp_path / "out")
    assert not are_alike(files[f"docs/lab/{page}.md"], REPOSITORY / "docs" / "lab" / f"{page}.md")


def test_a_picture_of_another_size_or_content_is_another(tmp_path: Path) -> None:
    """One that says that it is of another version, or of none, may be shifted a little."""
    committed = REPOSITORY / "docs" / "lab" / "performance.png"
    image = Image.open(committed)
    version = PngInfo()
    version.add_text("Software", image.info["Software"])
    pixels = np.asarray(image.convert("RGB"))
    shifted = Image.fromarray(np.roll(pixels, 1, axis=1))
    shifted.save(tmp_path / "shifted.png", pnginfo=version)
    shifted.save(tmp_path / "shifted by another version.png")
    altered = pixels.copy()
    altered[100:140, 100:140] = 0
    Image.fromarray(altered).save(tmp_path / "altered by another version.png")
    image.resize((image.width, image.height - 1)).save(tmp_path / "smaller.png", pnginfo=version)
    image.save(tmp_path / "the same.png", pnginfo=version, compress_level=1)
    found = {path.stem for path in tmp_path.iterdir() if are_alike(path, committed)}
    assert found == {"the same", "shifted by another version"}


def sprint() -> list[RunResult]:
    """Two runs on one machine, one on another: the first is at 99 % after two epochs, the others never."""
    elsewhere = provenance("1 CPU (Other), Linux, python 3.11.2", commit=None, threads=2)
    courses = {(0, "32-true"): [0.98, 0.991, 0.989], (1, "bf16-mixed"): [0.98, 0.985, 0.987]}
    runs = [
        result("maxpool", seed, accuracies[-1], (("trainer.precision", precision),), course(*accuracies, seconds=4.0))
        for (seed, precision), accuracies in courses.items()
    ]
    return [*runs, result("maxpool", 0, 0.98, (("trainer.precision", "32-true"),), provenance=elsewhere)]


def batches() -> list[RunResult]:
    """Three seeds at each of three cells: all train, one does not, none does."""
    cells = {("64", "0.01"): [0.95, 0.97, 0.96], ("64", "0.04"): [0.5, 0.1, 0.52], ("128", "0.04"): [0.1, 0.1, 0.1]}
    cells |= {("128", "0.01"): [0.9, 0.9, 0.9]}
    return [
        result("mlp", seed, accuracy, overrides=(("batch_size", size), ("lr", rate)))
        for (size, rate), accuracies in cells.items()
        for seed, accuracy in enumerate(accuracies)
    ]


def recipes() -> dict[str, list[RunResult]]:
    """Both networks by each recipe, and two candidates of which the second is the better."""
    runs = [result(arch, seed, 0.992, mistakes=(seed,)) for arch in ("maxpool", "batchnorm") for seed in range(5)]
    candidates = [
        result("maxpool", seed, 0.99, (("config", f"docs/data/candidates/{name}.yaml"),), validation=score)
        for name, score in (("first", 0.991), ("second", 0.993))
        for seed in range(2)
    ]
    return {name: candidates if "candidates" in name else runs for name in pages.PAGES["recipes"].numbers}


def study() -> tuple[list[RunResult], list[RunResult]]:
    """Each network is best at another learning rate; MaxPool collapses at the notebook's with some of the seeds."""
    choice = []
    for arch, best in {"mlp": -3.0, "maxpool": -2.5, "batchnorm": -2.5}.items():
        scores: dict[tuple[Cell, int], float] = {}
        while len(runs := to_choose(scores)) > len(scores):
            scores = {(cell, seed): score_at(best, cell, seed) for cell, seed in runs}
        choice += [
            result(arch, seed, score, cell.overrides, validation=score) for (cell, seed), score in scores.items()
        ]
    confirmed = []
    for arch, accuracy in {"mlp": 0.95, "maxpool": 0.97, "batchnorm": 0.98}.items():
        for cell, seed in product([NOTEBOOK, Cell("1e-3" if arch == "mlp" else "3e-3", "onecycle")], CONFIRMING_SEEDS):
            gain = 0.01 * (cell != NOTEBOOK) + Random(f"{arch} {seed}").gauss(0, 0.001)
            collapses = (arch, cell) == ("maxpool", NOTEBOOK) and seed % 5 == 0
            wrong = round(10_000 * (0.8865 if collapses else 1 - accuracy - gain))
            confirmed.append(result(arch, seed, 1 - wrong / 10_000, cell.overrides, mistakes=tuple(range(wrong))))
    return choice, confirmed


def score_at(best: float, cell: Cell, seed: int) -> float:
    """Lower the further a learning rate is from the best one, and with a constant one."""
    return 0.99 - 0.01 * abs(math.log10(float(cell.lr)) - best) - 0.002 * (cell.lr_scheduler == "constant") - seed / 1e6


@pytest.mark.slow
def test_the_study_has_its_page_and_the_readme_its_answer(tmp_path: Path) -> None:
    for stage, runs in zip(("choose", "confirm"), study(), strict=True):
        write_results(tmp_path / f"study-{stage}.jsonl", runs)
    files = written("results", tmp_path, tmp_path / "out")
    pictures = ("results", "curves-notebook", "dead-units-notebook", "curves-best", "dead-units-best")
    expected = {f"docs/lab/{name}{theme}.png" for name in pictures for theme in ("", "-dark")}
    assert set(files) == {"README.md", "docs/lab/results.md", *expected}
    readme, page = files["README.md"].read_text(), files["docs/lab/results.md"].read_text()
    before = (REPOSITORY / "README.md").read_text()
    assert SECTION.sub("", readme) == SECTION.sub("", before)
    sections = dict(SECTION.findall(readme))
    assert "Each at its own best setting, BatchNorm (lr 3e-3, onecycle) is better than" in sections["answer"]
    assert "At the notebook's setting, among the runs that trained" in sections["answer"]
    assert '<img alt="Left: test error against learning rate' in sections["answer"]
    assert "| batchnorm | 77,918 | 97.99 [" in sections["networks"]
    assert '<img alt="The share of dead units' in sections["dead units"]
    assert "- Each at its own best setting, BatchNorm" in page
    assert "`python scripts/study.py confirm`: n = 72 runs" in page
    assert "(../data/study-confirm.jsonl)" in page
    assert "| batchnorm | lr 3e-3, onecycle | 98." in page
    assert "`python scripts/study.py choose`: n = 90 runs" in page


MADE_UP: dict[str, tuple[str, Callable[[], list[RunResult]], str]] = {
    "sprint": ("sprint", sprint, '"final": {"test/acc": 0.989}'),
    "batches": ("batches", batches, '"final": {"test/acc": 0.97}'),
}


@pytest.mark.parametrize("page", MADE_UP)
def test_a_page_of_runs_follows_their_records(page: str, tmp_path: Path) -> None:
    name, runs, number = MADE_UP[page]
    write_results(tmp_path / f"{name}.jsonl", runs())
    before = written(page, tmp_path, tmp_path / "before")[f"docs/lab/{page}.md"]
    records = tmp_path / f"{name}.jsonl"
    assert number in records.read_text()
    records.write_text(records.read_text().replace(number, number[:-2] + "0}", 1))
    after = written(page, tmp_path, tmp_path / "after")[f"docs/lab/{page}.md"]
    assert not are_alike(before, after)


@pytest.mark.parametrize("page", MADE_UP)
def test_a_page_of_runs_says_how_many_they_are_and_where_they_come_from(page: str, tmp_path: Path) -> None:
    name, runs, _ = MADE_UP[page]
    write_results(tmp_path / f"{name}.jsonl", runs())
    text = written(page, tmp_path, tmp_path / "out")[f"docs/lab/{page}.md"].read_text()
    own = [one for one in runs() if one.provenance.machine == MACHINE]
    assert f"`python {' '.join(COMMANDS[name])}`: n = {len(runs())} runs" in text
    assert f"[each with all its numbers](../data/{name}.jsonl)" in text
    assert f"- {len(own)} runs on {MACHINE}, one thread each, commit abc1234." in text


def test_the_recipes_have_the_candidates_of_which_they_were_chosen_the_best_first(tmp_path: Path) -> None:
    for name, runs in recipes().items():
        write_results(tmp_path / f"{name}.jsonl", runs)
    text = written("recipes", tmp_path, tmp_path / "out")["docs/lab/recipes.md"].read_text()
    assert "## Five epochs: configs/onecycle.yaml" in text
    first, second = (text.index(f"| [{name}.yaml](../data/candidates/{name}.yaml) |") for name in ("second", "first"))
    assert first < second
    assert "(../data/candidates-sprint.jsonl)" in text


def test_the_two_orders_of_memory_are_compared_seed_by_seed() -> None:
    first, last = (
        [result("batchnorm", seed, accuracy + seed / 1000) for seed in range(8)] for accuracy in (0.982, 0.981)
    )
    table = tables.channels_table(first, last[1:])
    assert table.rows[2] == ["first - last", "7 pairs", "+0.10 [+0.10, +0.10]"]
    assert "finds a difference (p = 0.016)" in table.notes[0]


def test_the_origins_count_the_runs_of_each_machine() -> None:
    origins = [
        *[provenance()] * 30,
        provenance("one", commit=None, threads=2, processes=2),
        provenance("another", commit="a"),
        provenance("another", commit="b", threads=4),
    ]
    assert tables.origins([result("mlp", seed, 0.9, provenance=one) for seed, one in enumerate(origins)]) == [
        f"30 runs on {MACHINE}, one thread each, commit abc1234",
        "1 run on one, 2 threads each, 2 processes each, commit unknown",
        "2 runs on another, 1 and 4 threads each, commits a and b",
    ]


def test_a_sprint_ends_with_the_first_epoch_above_99_percent() -> None:
    here, elsewhere = tables.sprint_tables(sprint())
    assert here.rows == [["32-true", "0", "8.0", "98.90 %"], ["bf16-mixed", "1", "never", "98.70 %"]]
    assert (here.title, elsewhere.title) == ("2 CPUs (AMD EPYC 9R45), Linux", "1 CPU (Other), Linux")


def test_a_cell_for_each_batch_size_and_learning_rate_keeps_collapsed_runs_apart() -> None:
    table = tables.batches_table(batches())
    assert table.columns == ["batch size", "lr 0.01", "lr 0.04"]
    assert table.rows == [["64", "96.00 ± 1.00", "51.00 ± 1.41, 1 collapsed"], ["128", "90.00 ± 0.00", "3 collapsed"]]


def test_pages_without_numbers_are_told_with_the_command_and_left(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(DATA / "pictures.json", data)
    with pytest.raises(UserError) as caught:
        pages.write_pages(data, tmp_path / "out")
    told = str(caught.value)
    assert told.startswith(f"numbers are missing in {data}, and these pages left as they are: ")
    assert "results (study-choose and study-confirm: python docs/train.py study)" in told
    assert "processes (processes: python -m benchmarks.processes --out docs)" in told
    assert "readme (sessions/fit: python docs/train.py sessions)" in told
    assert "pictures (" not in told
    assert "\n" not in told
    assert [path.name for path in (tmp_path / "out" / "docs" / "lab").iterdir()] == ["pictures.md"]
