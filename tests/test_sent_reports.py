"""The reports to send: complete, safe whatever names they contain, and readable in a browser."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks.compare.report import report_of
from convblocks.data.images import ImageSpec
from convblocks.evaluate import command as evaluate
from convblocks.figures.report import repeat_of
from convblocks.record.directory import RunDirectory
from tests.core.run.test_fit import quick_run
from tests.evaluate.test_evaluate import guesses
from tests.made_up import course, images, result

HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'

# Reverses what follows; the names of classes and networks cannot have it.
REVERSED = "\u202e"


class Parsed(HTMLParser):
    """The elements of a page with their attributes, and all its text in one line."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.names = [name for name, _ in self.tags]
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def page_of_a_run(classes: tuple[str, ...] = tuple("0123456789"), **changed: Any) -> str:
    """In the current folder, with random answers to random images."""
    epochs = tuple(
        row | {"train/acc": 0.9, "test/loss": 0.2, "dead/relu1": 0.3} for row in course(0.9, 0.95)
    )
    diagnosis = {"sentence": "It overfits.", "options": ["--lr", "0.1"]}
    run = replace(result("mlp", 0, 0.95, epochs=epochs, facts={"diagnosis": diagnosis}), **changed)
    directory = RunDirectory("run")
    directory.create()
    model = {
        "class_path": "convblocks.ImageClassifier",
        "init_args": {"arch": run.arch, "lr": 0.01, "loss": "x"},
    }
    directory.write_config({"model": model, "seed": 0, "threads": 1, "trainer": {"max_epochs": 2}})
    return evaluate.run_report(
        directory, run, guesses(classes), torch.zeros(1000, 3, 8, 8, dtype=torch.uint8)
    )


def test_page_of_a_run_has_its_result_diagnosis_settings_and_origin_and_loads_nothing(
    workspace: Path,
) -> None:
    html = page_of_a_run()
    page = Parsed(html)
    answers = guesses(tuple("0123456789"))
    wrong = int((answers.predicted != answers.targets).sum())
    for text in (
        *(
            f"{100 * answers.accuracy:.2f} %",
            f"{wrong} of 1,000",
            f"{answers.loss:.4f}",
            "2 epochs",
            "20.0 s",
        ),
        *("It overfits.", "convblocks fit --config lightning_logs/run/config.yaml --lr 0.1"),
        *("arch: mlp", "AMD EPYC 9R45", "abc1234"),
    ):
        assert text in page.text
    assert [page.names.count(name) for name in ("figure", "h1", "script")] == [5, 1, 0]
    assert re.findall(r"@import|url\((?!#)", html) == []
    for tag, attributes in page.tags:
        for attribute in ("src", "href", "xlink:href", "srcset", "action"):
            assert (attributes.get(attribute) or "#").startswith(("#", "data:image/png;base64,"))
        if tag == "svg":
            assert (attributes["role"], bool(attributes["aria-label"])) == ("img", True)
    labels = [attributes["aria-label"] or "" for tag, attributes in page.tags if tag == "svg"]
    assert labels[0].startswith("Most often: ")
    assert labels[-1] == "test error 5 % after the last epoch: Error by epoch"


def test_page_of_a_run_does_without_the_facts_of_wings_that_are_off(workspace: Path) -> None:
    page = Parsed(page_of_a_run(facts={}))
    assert not any(text in page.text for text in ("Try next", "test images,"))


def test_page_escapes_names_and_options_from_elsewhere(workspace: Path) -> None:
    spec = ImageSpec(3, 8, 8, (HOSTILE, "b"), mean=(0.5,) * 3, std=(0.2,) * 3)
    facts = {
        "images": images(spec, train=9, test=9),
        "diagnosis": {"sentence": HOSTILE, "options": ["--x"]},
    }
    overrides = (("optimizer", HOSTILE + REVERSED),)
    runs = [result(HOSTILE, seed, 0.9, overrides, facts=facts) for seed in range(2)]
    for html in (
        report_of(runs, repeat=repeat_of("compare", [HOSTILE + REVERSED, "--no-fit"])).to_html(
            HOSTILE + REVERSED
        ),
        page_of_a_run((HOSTILE, *"12345678", "9" * 40), ended_by=HOSTILE + REVERSED, facts=facts),
    ):
        page = Parsed(html)
        assert {"script", "img"} & set(page.names) == set()
        assert not any(
            attribute.startswith("on") for _, attributes in page.tags for attribute in attributes
        )
        assert HOSTILE in page.text
        assert REVERSED not in html
        assert "--no-fit" not in html


def test_report_is_written_by_evaluate_of_a_finished_run_alone(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = quick_run("--epochs", "1")
    capsys.readouterr()
    evaluate.main([str(run.last_checkpoint)])
    printed = capsys.readouterr().out
    assert "lightning_logs/run/report.html: all of this, curves and settings on one page" in printed
    assert re.findall(r"accuracy ([\d.]+ %)", printed)[-1] in Parsed(run.report.read_text()).text
    run.report.unlink()
    run.summary.unlink()
    evaluate.main([str(run.last_checkpoint)])
    moved = workspace / "moved.ckpt"
    run.last_checkpoint.rename(moved)
    evaluate.main([str(moved)])
    assert "report.html" not in capsys.readouterr().out
    assert list(workspace.rglob("*.html")) == []
