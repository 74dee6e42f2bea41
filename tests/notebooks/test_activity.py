"""The lesson runs from top to bottom, hides each result until it is guessed, and says
only what the records say.
"""

import ast
import builtins
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from torchinfo import summary

from convblocks import ARCHITECTURES
from convblocks.record.result import RunResult
from lab import NETWORKS
from lab.lesson import (
    FILLED,
    GUESSES,
    code_cells,
    execute,
    fill_in,
    prose_of,
    read_lesson,
    sections_of,
    show_answers,
)
from lab.pages.teacher import minutes, minutes_of
from lab.pages.writing import DATA
from lab.results import read_results

# Sections whose results come from records, so that they are the same on every machine.
OF_RECORDS = ("6. One run is no evidence", "8. A fair race")


@pytest.fixture
def notebook() -> Any:
    return read_lesson()


@pytest.fixture
def filled() -> Any:
    """The lesson with its results, as docs/lesson has it."""
    return read_lesson(FILLED)


@pytest.fixture
def cells(notebook: Any) -> list[Any]:
    """Those with code."""
    return code_cells(notebook)


@pytest.fixture
def prose(notebook: Any) -> str:
    return prose_of(notebook)


def shorten(cells: list[Any]) -> None:
    """Leave the first result and the deaths as they are, and train the rest for a few steps."""
    for cell in cells:
        cell.source = cell.source.replace(
            "epochs=EPOCHS, test_batches=10", "epochs=EPOCHS, steps=60"
        )
        cell.source = cell.source.replace("steps=300, test_every=50", "steps=60, test_every=30")


def printed_by(cells: list[Any], text: str) -> str:
    """What the only cell with this text in its source has printed."""
    (outputs,) = (cell.outputs for cell in cells if text in cell.source)
    return "".join(output.get("text", "") for output in outputs)


def outputs_of(notebook: Any, heading: str) -> list[Any]:
    """The text and the tables that a section shows."""
    shown = [output for cell in code_cells_of(notebook, heading) for output in cell.outputs]
    return [output.get("text") or output["data"]["text/markdown"] for output in shown]


def code_cells_of(notebook: Any, *headings: str) -> list[Any]:
    sections = sections_of(notebook)
    return [cell for heading in headings for cell in sections[heading] if cell.cell_type == "code"]


class Executed(NamedTuple):
    """The lesson with outputs, and whether somebody has guessed and done its exercises."""

    notebook: Any
    is_studied: bool

    @property
    def cells(self) -> list[Any]:
        return code_cells(self.notebook)


@pytest.fixture(
    scope="module",
    params=[True, pytest.param(False, marks=pytest.mark.nightly)],
    ids=["studied", "untouched"],
)
def executed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Executed:
    """Run from top to bottom with one epoch, as the lesson offers to those with less
    time; where it is studied, with few steps too.
    """
    notebook = read_lesson()
    for cell in code_cells(notebook):
        cell.source = cell.source.replace("EPOCHS = 5", "EPOCHS = 1")
    if request.param:
        shorten(code_cells(notebook))
        fill_in(notebook)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        execute(notebook)
    return Executed(notebook, request.param)


@pytest.mark.slow
def test_lesson_runs_from_top_to_bottom_without_warnings(executed: Executed) -> None:
    for cell in executed.cells:
        assert not any(output.get("name") == "stderr" for output in cell.outputs), cell.outputs


@pytest.mark.slow
def test_lesson_draws_its_figures_once_results_are_guessed(executed: Executed) -> None:
    for cell in executed.cells:
        images = sum("image/png" in output.get("data", {}) for output in cell.outputs)
        is_hidden = not executed.is_studied and "guess" in cell.source
        assert images == (0 if is_hidden else cell.source.count("plt.show()"))


@pytest.mark.slow
def test_lesson_reveals_results_once_they_are_guessed(executed: Executed) -> None:
    cells = executed.cells
    reveals = [cell for cell in cells if re.search(r"^reveal\(", cell.source, re.MULTILINE)]
    compared = [printed_by(cells, cell.source) for cell in reveals]
    assert len(compared) == len(GUESSES)
    assert all(("Your guess first" in text) != executed.is_studied for text in compared)
    if executed.is_studied:
        assert "320. Your guess was right!" in compared[2]
        assert "True. Your guess was right!" in compared[5]  # at a lower rate the network lives


@pytest.mark.slow
def test_lesson_shows_a_dead_layer(executed: Executed) -> None:
    assert "a whole layer is dead" in printed_by(executed.cells, "for seed in range")


@pytest.mark.slow
def test_lesson_checks_its_exercises(executed: Executed) -> None:
    blocks = printed_by(executed.cells, "def check_block")
    runs_needed = printed_by(executed.cells, "chance**runs_needed")
    if executed.is_studied:
        assert blocks.count("right") == 2
        assert runs_needed.startswith("Right:")
    else:
        assert blocks.count("no layers yet") == 2
        assert runs_needed.startswith("Write a whole number of runs")


@pytest.mark.slow
@pytest.mark.parametrize("executed", [True], indirect=True, ids=["studied"])
@pytest.mark.parametrize("heading", OF_RECORDS)
def test_lesson_shows_of_records_what_its_filled_copy_shows(
    heading: str, executed: Executed, filled: Any
) -> None:
    assert outputs_of(executed.notebook, heading) == outputs_of(filled, heading)


def test_lesson_is_stored_without_outputs_and_needs_only_the_public_interface(
    cells: list[Any],
) -> None:
    assert all(cell.execution_count is None and not cell.outputs for cell in cells)
    imported = re.findall(
        r"^from (convblocks\S*) import (.*)", "\n".join(cell.source for cell in cells), re.MULTILINE
    )
    assert dict(imported).keys() == {
        "convblocks",
        "convblocks.diagnosis.callback",
        "convblocks.figures.style",
    }
    assert dict(imported)["convblocks.diagnosis.callback"] == "DeadUnits"


def test_filled_copy_is_of_this_lesson(notebook: Any, filled: Any) -> None:
    """All but the results is the same: code with the guesses in it, and prose with the
    answers unfolded.
    """
    fill_in(notebook)
    show_answers(notebook, "")
    made = [re.sub(r"^EPOCHS = \d", "EPOCHS = 5", cell.source) for cell in filled.cells]
    assert made[1:] == [cell.source for cell in notebook.cells][1:], "run python -m lab.lesson"
    assert (
        made[0].partition(" as run on ")[0] == notebook.cells[0].source.partition(" as run on ")[0]
    )
    assert FILLED.stat().st_size < 1_000_000


@pytest.mark.parametrize("column", [2, 3])
def test_lesson_can_be_shortened_as_its_table_says(column: int, notebook: Any) -> None:
    """The minutes of each way add up, and its sections need no name from those that are skipped."""
    head, *rows = minutes_of(prose_of(notebook))
    assert sum(minutes(row[column]) for row in rows) == int(head[column].removeprefix("of "))
    kept = [row[0] for row in rows if minutes(row[column])]
    code = "\n".join(cell.source for cell in code_cells_of(notebook, *kept)).replace(
        "%pip", "# %pip"
    )
    names = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    made = (
        {name.id for name in names if isinstance(name.ctx, ast.Store)}
        | defined_in(code)
        | {"display"}
    )
    assert {name.id for name in names} - made - set(dir(builtins)) == set()


def defined_in(code: str) -> set[str]:
    """The names of functions, classes, imports, parameters and caught errors."""
    names = set[str]()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)):
            names.add(node.name or "")
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    return names


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
    scores = {
        cell: {run.seed: run.score for run in results if not run.failed}
        for cell, results in runs.items()
    }
    mlp, maxpool, batchnorm = (scores[arch, "constant"] for arch in ("mlp", "maxpool", "batchnorm"))
    assert (len(mlp), len(maxpool), len(batchnorm)) == (12, 8, 12)
    assert "4 of its 12 runs collapsed" in " ".join(prose.split())
    assert all(batchnorm[seed] > max(mlp[seed], maxpool.get(seed, 0)) for seed in mlp)
    assert min(maxpool.values()) > max(mlp.values())
    best = {arch: sum(scores[arch, "onecycle"].values()) / 12 for arch in NETWORKS}
    assert max(best, key=best.__getitem__) == "maxpool"


def test_lesson_says_of_the_networks_what_torchinfo_says(prose: str) -> None:
    infos = {
        arch: summary(network(), input_size=(1, 1, 28, 28), verbose=0)
        for arch, network in ARCHITECTURES.items()
        if arch in NETWORKS
    }
    assert f"The MLP has {infos['mlp'].total_params:,} parameters" in prose
    ratio = infos["maxpool"].total_mult_adds / infos["batchnorm"].total_mult_adds
    assert f"takes {ratio:.1f} times the arithmetic of BatchNorm" in prose
    last = {arch: list(ARCHITECTURES[arch]().modules())[-1] for arch in NETWORKS}
    counts = {
        arch: sum(weights.numel() for weights in layer.parameters()) for arch, layer in last.items()
    }
    assert re.search(
        rf"{counts['maxpool']:,}\s+parameters in its last layer.*only {counts['batchnorm']:,}",
        prose,
    )
