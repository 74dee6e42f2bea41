"""The lesson: what is stored is what a run from top to bottom gives, and each question has an answer that fits it."""

import re
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from convblocks.data.images import ImageSets
from convblocks.runs.result import read_results
from docs.writing import DATA
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
LONGEST_CELL = 180  # seconds, on two cores
EPOCHS = re.compile(r"^EPOCHS = (\d+)", re.MULTILINE)
TRAINS_FOR_ALL_EPOCHS = re.compile(r"= train\(\"\w+\"\)$", re.MULTILINE)
# Where a machine keeps its users, programs and temporary files.
ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|opt|usr|var|mnt|work|content)/|\b[A-Z]:\\\\")


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(FOLDER / "activity.ipynb", as_version=4)  # type: ignore[no-untyped-call]


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def numbers_of_questions(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\bQuestion (\d+)\.", text)]


@pytest.mark.slow
def test_it_runs_from_top_to_bottom_and_no_cell_takes_three_minutes(
    notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one epoch, as it offers to slow machines; cells that train for all epochs would take that much longer."""
    (setting,) = [cell for cell in code_cells(notebook) if EPOCHS.search(cell.source)]
    epochs = int(EPOCHS.findall(setting.source)[0])
    setting.source = EPOCHS.sub("EPOCHS = 1", setting.source)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    client = NotebookClient(notebook, resources={"metadata": {"path": str(FOLDER)}})
    seconds: list[float] = []
    shortened: list[int] = []

    def processor_time() -> float:
        """Of the kernel: wall time would be that of the other tests too, which run at the same time."""
        manager: Any = client.km
        return psutil.Process(manager.provisioner.pid).cpu_times().user

    client.on_cell_execute = lambda cell, cell_index: seconds.append(-processor_time())

    def finish(cell: Any, cell_index: int, execute_reply: Any) -> None:
        seconds[-1] += processor_time()
        if TRAINS_FOR_ALL_EPOCHS.search(cell.source):
            seconds[-1] *= epochs
            shortened.append(cell_index)

    client.on_cell_executed = finish
    client.execute()
    assert len(seconds) == len(code_cells(notebook))
    assert len(shortened) == 3
    assert max(seconds) / 2 < LONGEST_CELL


def test_the_stored_outputs_are_of_one_run_from_top_to_bottom(notebook: Any) -> None:
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            assert output.get("execution_count", cell.execution_count) == cell.execution_count


def test_every_picture_is_stored(notebook: Any) -> None:
    for cell in code_cells(notebook):
        pictures = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(pictures) == cell.source.count("plt.show()")


def test_every_question_has_its_answer(notebook: Any) -> None:
    asked = numbers_of_questions("\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown"))
    answered = numbers_of_questions((FOLDER / "answers.md").read_text())
    assert asked == answered == list(range(1, len(asked) + 1))


def printed_by(notebook: Any, text: str) -> str:
    """What the cell with that text has printed."""
    (cell,) = [cell for cell in code_cells(notebook) if text in cell.source]
    return "".join(output.get("text", "") or output.get("data", {}).get("text/markdown", "") for output in cell.outputs)


def test_the_answers_to_questions_4_and_5_fit_the_stored_table(notebook: Any) -> None:
    """BatchNorm has the lowest losses, and is further from MaxPool than that is from the MLP."""
    lines = re.findall(r"\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) %", printed_by(notebook, "Markdown(table)"))
    first, last, accuracies = ({name: float(line[column]) for name, *line in lines} for column in range(3))
    assert min(first, key=first.__getitem__) == min(last, key=last.__getitem__) == "BatchNorm"
    others = accuracies["MaxPool"] - accuracies["MLP"]
    assert accuracies["BatchNorm"] - accuracies["MaxPool"] > others > 0
    trials = printed_by(notebook, "SEEDS = ").partition("MaxPool")[2].partition("BatchNorm")[0]
    of_maxpool = [float(number) for number in re.findall(r"accuracy ([\d.]+) %", trials)]
    assert max(of_maxpool) - min(of_maxpool) > others


def test_the_mlp_gets_further_at_a_lower_learning_rate() -> None:
    constant = [
        one
        for one in read_results(DATA / "study-choose.jsonl")
        if one.arch == "mlp" and dict(one.overrides)["lr_scheduler"] == "constant"
    ]
    at = {lr: [one.accuracy for one in constant if dict(one.overrides)["lr"] == lr] for lr in ("1e-2", "1e-3")}
    assert min(at["1e-3"]) > max(at["1e-2"])


def test_the_answer_to_question_7_fits_what_is_stored(notebook: Any, digits: ImageSets) -> None:
    """Not all maps of block 2 are dead; MaxPool's second trial is right on the ones alone."""
    alive = re.search(r"(\d+) other filters", printed_by(notebook, "is_dead = "))
    assert alive is not None
    assert int(alive[1]) > 0
    ones = 100 * (digits.test.labels == 1).float().mean()
    trials = printed_by(notebook, "SEEDS = ").partition("MaxPool")[2].partition("BatchNorm")[0]
    assert re.findall(r"accuracy ([\d.]+) %", trials)[1] == f"{ones:.2f}"


@pytest.mark.parametrize("name", ["activity.ipynb", "answers.md"])
def test_no_path_of_a_machine_is_stored(name: str) -> None:
    assert not ABSOLUTE_PATH.search((FOLDER / name).read_text())


def test_the_pictures_do_not_swell_the_repository() -> None:
    assert (FOLDER / "activity.ipynb").stat().st_size < 1_500_000
