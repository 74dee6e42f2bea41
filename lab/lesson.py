"""usage: python -m lab.lesson

Run the lesson on one core, with guesses and the right answers to its exercises. It
keeps the lesson with its results in docs/lesson/activity.ipynb, and the processor time
of each section in docs/data/lesson.json, from which `python -m lab.pages` makes the
teacher's page. Needs the packages of the tests.
"""

import os
import re
from datetime import date
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat
import psutil
from nbclient import NotebookClient

from convblocks.command_line import Parser
from convblocks.console import answer, end
from convblocks.record.provenance import describe_machine, git_commit
from convblocks.text import as_json
from exact_resume.files import write
from lab.pages.teacher import LESSON, NUMBERS
from lab.pages.writing import DATA, REPOSITORY

FILLED = REPOSITORY / "docs" / "lesson" / LESSON.name

# What a student might guess, in the order of the lesson: right, wrong and close.
GUESSES = ("93", "0", "320", "10", "True", "True", "9", '"warm-up"', "64", '"batchnorm"')
ACCURACIES = '{"MLP": 95, "MaxPool": 97.5, "BatchNorm": 98}'

# Of the kernel: one thread, and figures within the notebook, as commands set another backend.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "module://matplotlib_inline.backend_inline"}

# An answer that is folded away below a question, and its place for the student's own.
FOLDED = re.compile(
    r"(?:\*\*Your answer:\*\*\n\n)?<details><summary>Answer</summary>\n(.*?)\n</details>", re.DOTALL
)

# Of each network, below its name and the epochs before.
LAST_ACCURACY = re.compile(r"^(\w+)\n(?: .*\n)* .*, test accuracy (.*)$", re.MULTILINE)


def main(arguments: list[str]) -> None:
    Parser().parse_args(arguments)
    lesson = read_lesson()
    origin = f"{describe_machine()}; commit {git_commit() or 'unknown'}; {date.today():%Y-%m-%d}"
    fill_in(lesson)
    with patch.dict(os.environ, ENVIRONMENT):
        seconds = execute(lesson)
    numbers = {"origin": origin, "seconds": seconds, "answers": answers_of(lesson)}
    write(DATA / NUMBERS, as_json(numbers) + "\n")
    show_answers(lesson, origin)
    write(FILLED, nbformat.writes(lesson) + "\n")


def read_lesson(path: Path = LESSON) -> Any:
    """The notebook, whose cells have a type, a source, metadata and outputs."""
    return nbformat.read(path, as_version=4)


def code_cells(lesson: Any) -> list[Any]:
    return [cell for cell in lesson.cells if cell.cell_type == "code"]


def prose_of(lesson: Any) -> str:
    return "\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")


def sections_of(lesson: Any) -> dict[str, list[Any]]:
    """The cells of each section, by its heading; those above the first have an empty one."""
    sections: dict[str, list[Any]] = {"": []}
    for cell in lesson.cells:
        heading = re.match(r"## (.*)", cell.source)
        if heading:
            sections[heading[1]] = []
        sections[list(sections)[-1]].append(cell)
    return sections


def fill_in(lesson: Any) -> None:
    """Write guesses into the cells, the answers of the exercises, and a treatment.

    Raises:
        ValueError: the lesson asks for more or fewer guesses.
    """
    guesses = iter(GUESSES)
    solutions = re.findall(r"```python\n(.*?)```", prose_of(lesson), re.DOTALL)
    exercises = {code.partition(" = ")[0]: code for code in solutions}
    for cell in code_cells(lesson):
        if cell.source == "guess = ...":
            cell.source = f"guess = {next(guesses, None)}"
        elif cell.source.startswith("guesses = "):
            cell.source = f"guesses = {ACCURACIES}"
        elif "def patient(" in cell.source:
            cell.source = cell.source.replace("lr = 1e-2", "lr = 3e-3")
        else:
            name = cell.source.partition(" = ")[0]
            cell.source = exercises.get(name, cell.source).rstrip("\n")
    if next(guesses, None) or "guess = None" in {cell.source for cell in code_cells(lesson)}:
        raise ValueError(f"the lesson does not ask for {len(GUESSES)} guesses")


def execute(lesson: Any, folder: Path = LESSON.parent) -> dict[str, float]:
    """Run all cells in a folder; outputs are stored in them.

    Returns:
        The processor time of each section, in seconds.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an exception.
    """
    seconds: dict[str, float] = {}
    client = NotebookClient(
        lesson,
        record_timing=False,
        # A kernel may send a line in several pieces.
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    )
    # Progress would be stored with what the cells print.
    with client.setup_kernel(env=os.environ | {"TQDM_DISABLE": "1"}):
        # Its type does not know of a process.
        manager: Any = client.km
        kernel = psutil.Process(manager.provisioner.pid)
        for heading, cells in sections_of(lesson).items():
            before = _busy(kernel)
            for cell in cells:
                client.execute_cell(cell, lesson.cells.index(cell))
            seconds[heading] = round(_busy(kernel) - before, 1)
    return seconds


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def show_answers(lesson: Any, origin: str) -> None:
    """Unfold the answers, lead links from docs/lesson, and say on top where the results
    are from.
    """
    for cell in lesson.cells:
        if cell.cell_type == "markdown":
            unfolded = FOLDED.sub(r"**Answer.**\n\1", cell.source)
            unfolded = unfolded.replace("](../docs/lesson/", "](")
            cell.source = unfolded.replace("](../docs/", "](../")
    title, _, text = lesson.cells[0].source.partition("\n")
    made = (
        "*With guesses, answers and results: [the "
        f"lesson](../../notebooks/activity.ipynb) as run on {origin}.*"
    )
    lesson.cells[0].source = f"{title}\n\n{made}\n{text}"


def answers_of(lesson: Any) -> dict[str, str]:
    """What the lesson printed as the answer to each guess, without what it said of the guess."""
    answers = {}
    guess = ""
    for cell in lesson.cells:
        asked = re.search(r"\*\*Guess (\d+)\.\*\*", cell.source)
        if asked:
            guess = asked[1]
        printed = "".join(output.get("text", "") for output in cell.get("outputs", []))
        accuracies = LAST_ACCURACY.findall(printed)
        if re.search(r"^reveal\(", cell.source, re.MULTILINE):
            answers[guess] = re.split(r"\. (?:You guessed|Your guess)", printed)[0]
        elif accuracies:
            answers[guess] = ", ".join(f"{network} {accuracy}" for network, accuracy in accuracies)
    return answers


if __name__ == "__main__":
    end(answer(main, __doc__))
