"""The reports to send: as complete as the Markdown, safe whatever names they contain, and readable in a browser."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from selenium.webdriver import Chrome

from convblocks.compare.report import report_of
from convblocks.data.images import ImageSpec
from convblocks.evaluate import command as evaluate
from convblocks.figures.report import Report, repeat_of
from convblocks.run.directory import RunDirectory
from convblocks.run.result import RunResult
from tests.compare.test_report import REPORTS
from tests.core.run.test_fit import quick_run
from tests.demo.browser import chromium
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


def a_run(**changed: Any) -> RunResult:
    epochs = tuple(row | {"train/acc": 0.9, "test/loss": 0.2, "dead/relu1": 0.3} for row in course(0.9, 0.95))
    diagnosis = {"sentence": "It overfits.", "options": ["--lr", "0.1"]}
    return result("mlp", 0, 0.95, epochs=epochs, **({"facts": {"diagnosis": diagnosis}} | changed))


def page_of_a_run(classes: tuple[str, ...] = tuple("0123456789"), **changed: Any) -> str:
    """In the current folder, with random answers to random images."""
    directory, run = RunDirectory("run"), a_run(**changed)
    directory.create()
    model = {"class_path": "convblocks.ImageClassifier", "init_args": {"arch": run.arch, "lr": 0.01, "loss": "x"}}
    directory.write_config({"model": model, "seed": 0, "threads": 1, "trainer": {"max_epochs": 2}})
    answers = guesses(classes)
    return evaluate.run_report(directory, run, answers, torch.zeros(1000, 3, 8, 8, dtype=torch.uint8))


PAGES: dict[str, Callable[[], str]] = {
    **{name: partial(lambda one: comparison(one).to_html("Comparison"), name) for name in ("setting", "grid")},
    "run": page_of_a_run,
}


@pytest.mark.parametrize("name", REPORTS)
def test_every_line_and_cell_of_the_markdown_is_in_the_page(name: str) -> None:
    page = Parsed(comparison(name).to_html("Comparison quick"))
    cells = set(map(plain, page.cells))
    for line in filter(None, comparison(name).to_markdown().splitlines()):
        if line.startswith("| "):
            missing = {cell.strip() for cell in line[2:-2].split(" | ")} - cells - {"---"}
            assert missing == set(), line
        else:
            assert plain(re.sub(r"^(- |#+ )", "", line)) in page.text
    assert "convblocks compare --name 'a b'" in page.text
    assert "--no-fit" not in page.text
    assert page.text.count("Comparison quick") == 2  # title and heading


def test_the_page_of_a_run_has_its_result_diagnosis_settings_and_origin(workspace: Path) -> None:
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
    assert len([tag for tag, _ in page.tags if tag == "figure"]) == 3 + 3
    healthy = Parsed(page_of_a_run(facts={}))
    assert "Try next" not in healthy.text


def test_the_page_of_a_run_needs_no_facts(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wings that add them may be off."""
    monkeypatch.setitem(globals(), "a_run", lambda: replace(result("mlp", 0, 0.95), facts={}))
    assert "test images," not in Parsed(page_of_a_run()).text


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_and_runs_nothing_and_names_its_figures_and_tables(name: str, workspace: Path) -> None:
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


def test_names_and_options_from_elsewhere_are_escaped(workspace: Path) -> None:
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


@pytest.mark.parametrize("name", PAGES)
def test_the_same_runs_make_the_same_bytes(name: str, workspace: Path) -> None:
    first = PAGES[name]()
    comparison.cache_clear()
    assert PAGES[name]() == first
    assert len(first) < 200_000


def test_evaluate_writes_the_report_of_a_finished_run_alone(
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
    assert yaml.safe_dump(run.read_config(), sort_keys=False).splitlines()[0] in page.text
    run.report.unlink()
    evaluate.main([str(run.last_checkpoint), "--json"])
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


def test_a_checkpoint_knows_the_directory_of_its_run(workspace: Path) -> None:
    run = RunDirectory("a/b")
    for checkpoint in (run.last_checkpoint, run.best_checkpoint.absolute()):
        found = evaluate.run_of(checkpoint)
        assert found
        assert (found.name, found.path) == ("a/b", run.path.absolute())
    for other in (
        "last.ckpt",
        "lightning_logs/last.ckpt",
        "lightning_logs/checkpoints/last.ckpt",
        "a/checkpoints/last.ckpt",
    ):
        assert evaluate.run_of(Path(other)) is None


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as window:
        yield window


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_browser_shows_it_on_a_phone_and_in_the_dark(name: str, window: Chrome, workspace: Path) -> None:
    """Of a figure too wide for the phone it scrolls the figure, not the page."""
    file = workspace / "page.html"
    file.write_text(PAGES[name]())
    papers, filters = [], []
    for theme in ("light", "dark"):
        scheme = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
        window.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
        metrics = {"width": 360, "height": 800, "deviceScaleFactor": 2, "mobile": True}
        window.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        window.get(file.as_uri())
        window.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true })")
        assert window.execute_script("return document.documentElement.scrollWidth") == 360
        papers.append(window.execute_script("return getComputedStyle(document.body).backgroundColor"))
        filters.append(window.execute_script("return getComputedStyle(document.querySelector('svg')).filter"))
    assert window.get_log("browser") == []  # type: ignore[no-untyped-call]
    assert papers == ["rgb(255, 255, 255)", "rgb(13, 17, 23)"]
    assert filters == ["none", "invert(0.95) hue-rotate(180deg)"]
