"""The lesson: what is stored is what a run from top to bottom gives, and each question has its answer."""

import re
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "notebooks"
LONGEST_CELL = 180  # seconds, on two cores
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
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    client = NotebookClient(notebook, resources={"metadata": {"path": str(FOLDER)}})
    seconds: list[float] = []

    def processor_time() -> float:
        """Of the kernel: wall time would be that of the other tests too, which run at the same time."""
        manager: Any = client.km
        return psutil.Process(manager.provisioner.pid).cpu_times().user

    client.on_cell_execute = lambda cell, cell_index: seconds.append(-processor_time())

    def finish(cell: Any, cell_index: int, execute_reply: Any) -> None:
        seconds[-1] += processor_time()

    client.on_cell_executed = finish
    client.execute()
    assert len(seconds) == len(code_cells(notebook))
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


@pytest.mark.parametrize("name", ["activity.ipynb", "answers.md"])
def test_no_path_of_a_machine_is_stored(name: str) -> None:
    assert not ABSOLUTE_PATH.search((FOLDER / name).read_text())


def test_the_pictures_do_not_swell_the_repository() -> None:
    assert (FOLDER / "activity.ipynb").stat().st_size < 1_500_000
