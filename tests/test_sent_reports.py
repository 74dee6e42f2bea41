"""The reports to send: as complete as the Markdown, safe whatever names they contain, and readable in a browser."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.compare.report import report_of
from convblocks.data.images import ImageSpec
from convblocks.evaluate import command as evaluate
from convblocks.figures.report import Report, repeat_of
from convblocks.run.directory import RunDirectory
from convblocks.run.result import RunResult
from tests.compare.test_report import REPORTS
from tests.core.run.test_fit import quick_run
from tests.evaluate.test_evaluate import guesses
from tests.made_up import course, images, result

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'

# Reverses what follows; the names of classes and networks cannot have it.
REVERSED = "\u202e"

VOID = {"meta", "img", "br", "link", "input"}


class Parsed(HTMLParser):
    """The elements of a page with their attributes, the text of its cells, and all its text in one line."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []
        self.text = plain(" ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open) and "mark" not in self.open:
            self.cells[-1] += data
        self.words.append(data)


def plain(text: str) -> str:
    return " ".join(text.split())


@cache
def comparison(name: str) -> Report:
    return report_of(*REPORTS[name], repeat=repeat_of("compare", ["--name", "a b", "--no-fit"]))


def a_run() -> RunResult:
    epochs = tuple(row | {"train/acc": 0.9, "test/loss": 0.2, "dead/relu1": 0.3} for row in course(0.9, 0.95))
    diagnosis = {"sentence": "It overfits.", "options": ["--lr", "0.1"]}
    return result("mlp", 0, 0.95, epochs=epochs, facts={"diagnosis": diagnosis})


def page_of_a_run(classes: tuple[str, ...] = tuple("0123456789"), **changed: Any) -> str:
    """In the current folder, with random answers to random images."""
    directory, run = RunDirectory("run"), replace(a_run(), **changed)
    directory.create()
    model = {"class_path": "convblocks.ImageClassifier", "init_args": {"arch": run.arch, "lr": 0.01, "loss": "x"}}
    directory.write_config({"model": model, "seed": 0, "threads": 1, "trainer": {"max_epochs": 2}})
    answers = guesses(classes)
    return evaluate.run_report(directory, run, answers, torch.zeros(1000, 3, 8, 8, dtype=torch.uint8))


PAGES: dict[str, Callable[[], str]] = {"grid": lambda: comparison("grid").to_html("Comparison"), "run": page_of_a_run}


def test_page_of_a_comparison_has_every_line_and_cell_of_the_markdown() -> None:
    page = Parsed(comparison("grid").to_html("Comparison quick"))
    cells = set(map(plain, page.cells))
    for line in filter(None, comparison("grid").to_markdown().splitlines()):
        if line.startswith("| "):
            missing = {cell.strip() for cell in line[2:-2].split(" | ")} - cells - {"---"}
            assert missing == set(), line
        else:
            assert plain(re.sub(r"^(- |#+ )", "", line)) in page.text
    assert "convblocks compare --name 'a b'" in page.text
    assert "--no-fit" not in page.text
    assert page.text.count("Comparison quick") == 2  # title and heading


def test_page_of_a_run_has_its_result_diagnosis_settings_and_origin(workspace: Path) -> None:
    page = Parsed(page_of_a_run())
    answers = guesses(tuple("0123456789"))
    wrong = int((answers.predicted != answers.targets).sum())
    for text in (
        *(f"{100 * answers.accuracy:.2f} %", f"{wrong} of 1,000", f"{answers.loss:.4f}", "2 epochs", "20.0 s"),
        *("It overfits.", "convblocks fit --config lightning_logs/run/config.yaml --lr 0.1"),
        *("arch: mlp", a_run().provenance.machine, "abc1234"),
    ):
        assert text in page.text
    for table in evaluate.tables(answers):
        assert {cell for row in table.cells for cell in row} <= set(page.cells)
    assert len([tag for tag, _ in page.tags if tag == "figure"]) == 2 + 3
    without_facts = Parsed(page_of_a_run(facts={})).text  # the wings that add them may be off
    assert not any(text in without_facts for text in ("Try next", "test images,"))


@pytest.mark.parametrize("name", PAGES)
def test_page_loads_and_runs_nothing_and_names_its_figures_and_tables(name: str, workspace: Path) -> None:
    html = PAGES[name]()
    page = Parsed(html)
    assert "script" not in {tag for tag, _ in page.tags}
    for tag, attributes in page.tags:
        assert not any(attribute.startswith("on") for attribute in attributes)
        for attribute in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(attribute) or "#").startswith(("#", "data:image/png;base64,"))
        if tag == "svg":
            assert (attributes["role"], bool(attributes["aria-label"])) == ("img", True)
    assert re.findall(r"@import|url\((?!#)", html) == []
    names = [tag for tag, _ in page.tags]
    assert (names.count("h1"), "summary" in names) == (1, True)


def test_page_escapes_names_and_options_from_elsewhere(workspace: Path) -> None:
    spec = ImageSpec(3, 8, 8, (HOSTILE, "b"), mean=(0.5,) * 3, std=(0.2,) * 3)
    facts = {"images": images(spec, train=9, test=9), "diagnosis": {"sentence": HOSTILE, "options": ["--x"]}}
    hostile = {"ended_by": HOSTILE + REVERSED, "facts": facts}
    overrides = (("optimizer", HOSTILE + REVERSED),)
    runs = [result(HOSTILE, seed, 0.9, overrides, facts=facts) for seed in range(2)]
    for html in (
        report_of(runs, repeat=repeat_of("compare", [HOSTILE + REVERSED])).to_html(HOSTILE + REVERSED),
        page_of_a_run((HOSTILE, *"12345678", "9" * 40), **hostile),
    ):
        page = Parsed(html)
        assert {"script", "img"} & {tag for tag, _ in page.tags} == set()
        assert not any(attribute.startswith("on") for _, attributes in page.tags for attribute in attributes)
        assert HOSTILE in page.text
        assert REVERSED not in html


def test_report_is_written_by_evaluate_of_a_finished_run_alone(
    workspace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = quick_run("--epochs", "1")
    capsys.readouterr()
    evaluate.main([str(run.last_checkpoint)])
    printed = capsys.readouterr().out
    assert "lightning_logs/run/report.html: all of this, curves and settings on one page" in printed
    accuracy = re.findall(r"accuracy ([\d.]+ %)", printed)[-1]
    page = Parsed(run.report.read_text())
    assert accuracy in page.text
    assert "class_path: convblocks.ImageClassifier" in page.text
    run.report.unlink()
    run.config.write_text("model: [")
    evaluate.main([str(run.last_checkpoint)])
    assert "cannot write lightning_logs/run/report.html: cannot read" in capsys.readouterr().out
    run.summary.unlink()
    evaluate.main([str(run.last_checkpoint)])
    moved = workspace / "moved.ckpt"
    run.last_checkpoint.rename(moved)
    evaluate.main([str(moved)])
    assert "report.html" not in capsys.readouterr().out
    assert list(workspace.rglob("*.html")) == []


def test_checkpoint_knows_the_directory_of_its_run(workspace: Path) -> None:
    run = RunDirectory("a/b")
    for checkpoint in (run.last_checkpoint, run.best_checkpoint.absolute()):
        owner = evaluate.run_of(checkpoint)
        assert owner
        assert (owner.name, owner.path) == ("a/b", run.path.absolute())
    for path in ("last.ckpt", "lightning_logs/checkpoints/last.ckpt", "a/checkpoints/last.ckpt"):
        assert evaluate.run_of(Path(path)) is None
