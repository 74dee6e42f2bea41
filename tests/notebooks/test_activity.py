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
# Where a machine keeps its users, programs and temporary files.
ABSOLUTE_PATH = re.compile(r"(?<![\w.])/(?:home|root|Users|tmp|opt|usr|var|mnt|work|content)/|\b[A-Z]:\\\\")


@pytest.fixture
def notebook() -> Any:
    return nbformat.read(FOLDER / "activity.ipynb", as_version=4)  # type: ignore[no-untyped-call]


@pytest.fixture
def cells(notebook: Any) -> list[Any]:
    """Those with code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
@pytest.mark.parametrize("few", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_it_runs_from_top_to_bottom_and_no_cell_takes_three_minutes(
    few: bool, notebook: Any, cells: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one epoch, as it offers to slow machines, and at first with few batches."""
    for cell in cells:
        cell.source = cell.source.replace("EPOCHS = 5", "EPOCHS = 1")
        if few:
            cell.source = cell.source.replace("batches=1.0", "batches=110").replace("batches=200", "batches=10")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    client = NotebookClient(notebook, resources={"metadata": {"path": str(FOLDER)}})

    def processor_time() -> float:
        """Of the kernel: wall time would be that of the other tests, too."""
        manager: Any = client.km
        return psutil.Process(manager.provisioner.pid).cpu_times().user

    client.on_cell_execute = lambda cell, cell_index: cell.metadata.update(began=processor_time())
    client.on_cell_executed = lambda cell, cell_index, execute_reply: cell.metadata.update(ended=processor_time())
    client.execute()
    for cell in cells:
        epochs = 5 if re.search(r"= train\(\"\w+\"\)$", cell.source) else 1
        assert epochs * (cell.metadata.ended - cell.metadata.began) / 2 < LONGEST_CELL


def test_the_stored_outputs_are_of_one_run_from_top_to_bottom(cells: list[Any]) -> None:
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            assert output.get("execution_count", cell.execution_count) == cell.execution_count
        assert sum("image/png" in one.get("data", {}) for one in cell.outputs) == cell.source.count("plt.show()")
    assert (FOLDER / "activity.ipynb").stat().st_size < 1_500_000
    assert not any(ABSOLUTE_PATH.search((FOLDER / name).read_text()) for name in ("activity.ipynb", "answers.md"))


def test_every_question_has_its_answer(notebook: Any) -> None:
    texts = ["\n".join(cell.source for cell in notebook.cells), (FOLDER / "answers.md").read_text()]
    asked, answered = (re.findall(r"\bQuestion (\d+)\.", text) for text in texts)
    assert asked == answered == [str(number) for number in range(1, len(asked) + 1)]


def test_the_answers_to_questions_4_5_and_7_fit_what_is_stored(cells: list[Any], digits: ImageSets) -> None:
    """BatchNorm has the lowest losses, and is further from MaxPool than that is from the MLP.

    Not all maps of block 2 are dead, and MaxPool's second trial is right on the ones alone.
    """

    def printed_by(text: str) -> str:
        (outputs,) = (cell.outputs for cell in cells if text in cell.source)
        return "".join(one.get("text", "") or one.get("data", {}).get("text/markdown", "") for one in outputs)

    lines = re.findall(r"\| (\w+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) %", printed_by("Markdown(table)"))
    first, last, accuracies = ({name: float(line[column]) for name, *line in lines} for column in range(3))
    assert min(first, key=first.__getitem__) == min(last, key=last.__getitem__) == "BatchNorm"
    others = accuracies["MaxPool"] - accuracies["MLP"]
    assert accuracies["BatchNorm"] - accuracies["MaxPool"] > others > 0
    trials = printed_by("SEEDS = ").partition("MaxPool")[2].partition("BatchNorm")[0]
    of_maxpool = [float(number) for number in re.findall(r"accuracy ([\d.]+) %", trials)]
    assert max(of_maxpool) - min(of_maxpool) > others
    assert of_maxpool[1] == pytest.approx(100 * float((digits.test.labels == 1).float().mean()), abs=0.005)
    (alive,) = re.findall(r"(\d+) other filters", printed_by("is_dead = "))
    assert int(alive) > 0


def test_the_mlp_gets_further_at_a_lower_learning_rate() -> None:
    at: dict[tuple[str, ...], list[float]] = {}
    for one in read_results(DATA / "study-choose.jsonl"):
        settings = dict(one.overrides)
        at.setdefault((one.arch, settings["lr_scheduler"], settings["lr"]), []).append(one.accuracy)
    assert min(at["mlp", "constant", "1e-3"]) > max(at["mlp", "constant", "1e-2"])
