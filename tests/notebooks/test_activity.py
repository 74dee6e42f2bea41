"""The lesson runs from top to bottom, hides each result until it is guessed, and says only what the records say."""

import math
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from torchinfo import summary

from convblocks import ARCHITECTURES
from convblocks.run.result import RunResult
from lab import NETWORKS
from lab.pages.writing import DATA
from lab.results import read_results
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
# A right one, a wrong one and one that is close: as the student's, in the order of the lesson.
GUESSES = ["93", "0", "320", "10", "True", "True", "9", '"warm-up"', "64", '"batchnorm"']


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(FOLDER / "activity.ipynb", as_version=4)  # type: ignore[no-untyped-call]


@pytest.fixture
def cells(notebook: Any) -> list[Any]:
    """Those with code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture
def prose(notebook: Any) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def shorten(cells: list[Any]) -> None:
    """Leave the first result and the deaths as they are, and train the rest for a few steps."""
    for cell in cells:
        cell.source = cell.source.replace("epochs=EPOCHS, test_batches=10", "epochs=EPOCHS, steps=60")
        cell.source = cell.source.replace("steps=300, test_every=50", "steps=60, test_every=30")


def study(cells: list[Any], prose: str) -> None:
    """Write guesses into the cells, and the answers of the exercises."""
    guesses = iter(GUESSES)
    exercises = {code.partition(" = ")[0]: code for code in re.findall(r"```python\n(.*?)```", prose, re.DOTALL)}
    for cell in cells:
        if cell.source == "guess = ...":
            cell.source = f"guess = {next(guesses)}"
        elif cell.source.startswith("guesses = "):
            cell.source = 'guesses = {"MLP": 95, "MaxPool": 97.5, "BatchNorm": 98}'
        elif "def patient(" in cell.source:
            cell.source = cell.source.replace("lr = 1e-2", "lr = 3e-3")
        else:
            cell.source = exercises.get(cell.source.partition(" = ")[0], cell.source)
    assert next(guesses, None) is None


def printed_by(cells: list[Any], text: str) -> str:
    """What the only cell with this text in its source has printed."""
    (outputs,) = (cell.outputs for cell in cells if text in cell.source)
    return "".join(output.get("text", "") for output in outputs)


NIGHTLY = pytest.mark.nightly


@pytest.mark.slow
@pytest.mark.parametrize(("is_short", "is_studied"), [(True, True), pytest.param(False, False, marks=NIGHTLY)])
def test_lesson_runs_from_top_to_bottom(
    is_short: bool, is_studied: bool, notebook: Any, cells: list[Any], prose: str, tmp_path: Path
) -> None:
    """With one epoch, as it offers to those with less time, and at first with few steps."""
    for cell in cells:
        cell.source = cell.source.replace("EPOCHS = 5", "EPOCHS = 1")
    if is_short:
        shorten(cells)
    if is_studied:
        study(cells, prose)
    client = NotebookClient(notebook, resources={"metadata": {"path": str(FOLDER)}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path))
        client.execute()
    for cell in cells:
        assert not any(output.get("name") == "stderr" for output in cell.outputs), cell.outputs
        images = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        assert images == (cell.source.count("plt.show()") if is_studied or "guess" not in cell.source else 0)
    reveals = [cell for cell in cells if re.search(r"^reveal\(", cell.source, re.MULTILINE)]
    compared = [printed_by(cells, cell.source) for cell in reveals]
    assert len(compared) == len(GUESSES)
    assert all(("Your guess first" in text) != is_studied for text in compared)
    assert "a whole layer is dead" in printed_by(cells, "for seed in range")
    blocks, runs_needed = printed_by(cells, "def check_block"), printed_by(cells, "chance**runs_needed")
    if is_studied:
        assert "320. Your guess was right!" in compared[2]
        assert "True. Your guess was right!" in compared[5]  # at a lower rate the network lives
    assert blocks.count("right" if is_studied else "no layers yet") == 2
    assert runs_needed.startswith("Right:" if is_studied else "Write a whole number of runs")


def test_lesson_is_stored_without_outputs_and_needs_only_the_public_interface(cells: list[Any]) -> None:
    assert all(cell.execution_count is None and not cell.outputs for cell in cells)
    imported = re.findall(r"^from (convblocks\S*) import (.*)", "\n".join(cell.source for cell in cells), re.MULTILINE)
    assert dict(imported).keys() == {"convblocks", "convblocks.diagnosis.callback"}
    assert dict(imported)["convblocks.diagnosis.callback"] == "DeadUnits"


def test_lesson_says_of_the_interventions_what_their_records_say(prose: str) -> None:
    runs: dict[str, list[bool]] = {}
    for run in read_results(DATA / "interventions.jsonl"):
        runs.setdefault(Path(dict(run.overrides)["config"]).stem, []).append(run.failed)
    deaths = {treatment: sum(fates) for treatment, fates in runs.items()}
    helped = {"lower-rate", "warm-up", "batch-norm", "centring", "leaky-relu"}
    assert {treatment for treatment, count in deaths.items() if count == 0} == helped
    assert max(deaths, key=deaths.__getitem__) == "smaller-weights"
    (needed,) = re.findall(r"runs_needed = (\d+)", prose)
    assert int(needed) == math.ceil(math.log(0.05) / math.log(1 - deaths["as-is"] / 40))
    assert f"at n = {needed}:" in prose


def test_lesson_says_of_the_study_what_its_records_say(prose: str) -> None:
    runs: dict[tuple[str, str], list[RunResult]] = {}
    for run in read_results(DATA / "study-confirm.jsonl"):
        runs.setdefault((run.arch, run.hparams["lr_scheduler"]), []).append(run)
    scores = {cell: [run.score for run in results if not run.failed] for cell, results in runs.items()}
    mlp, maxpool, batchnorm = (scores[arch, "constant"] for arch in ("mlp", "maxpool", "batchnorm"))
    assert (len(mlp), len(maxpool), len(batchnorm)) == (12, 8, 12)
    assert "4 of its 12 runs collapsed" in " ".join(prose.split())
    assert min(batchnorm) > max(maxpool) > min(maxpool) > max(mlp)
    best = {arch: sum(scores[arch, "onecycle"]) / 12 for arch in NETWORKS}
    assert max(best, key=best.__getitem__) == "maxpool"


def test_lesson_says_of_the_networks_what_torchinfo_says(prose: str) -> None:
    infos = {arch: summary(network(), input_size=(1, 1, 28, 28), verbose=0) for arch, network in ARCHITECTURES.items()}
    assert f"The MLP has {infos['mlp'].total_params:,} parameters" in prose
    ratio = infos["maxpool"].total_mult_adds / infos["batchnorm"].total_mult_adds
    assert f"takes {ratio:.1f} times the arithmetic of BatchNorm" in prose
    last = {arch: list(network().modules())[-1] for arch, network in ARCHITECTURES.items()}
    counts = {arch: sum(weights.numel() for weights in layer.parameters()) for arch, layer in last.items()}
    assert re.search(rf"{counts['maxpool']:,}\s+parameters in its last layer.*only {counts['batchnorm']:,}", prose)
