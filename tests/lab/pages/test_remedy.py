"""What is said of Gradient Centralization as a remedy, and the class that readers may take."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convblocks.record.result import RunResult
from lab.blocks import BlockNetwork
from lab.by_seed import REMEDIES, REMEDIES_OF_20
from lab.gradient_centralization import centralize
from lab.pages.remedy import readme_sentence, remedy_sentence, remedy_tables
from lab.pages.writing import DATA, REPOSITORY
from lab.remedy import REMEDY, by_length, gains_over_others, remedy
from lab.results import read_results
from tests.lab.test_remedy import runs, short
from tests.scripts import run_fresh

ARMS = (REMEDY, "lower-rate")

PAGE = (REPOSITORY / "docs" / "lab" / "remedy.md").read_text()


def made_up(results: list[RunResult]) -> list[RunResult]:
    """With the runs of 300 steps."""
    return [*results, *short(results)]


def test_nothing_is_decided_before_all_seeds() -> None:
    few = [one for one in made_up(runs()) if one.seed < 30]
    assert remedy_sentence(few).startswith("Not decided yet, after 30 of 40 seeds: ")
    assert readme_sentence(few) == ""


@pytest.mark.parametrize(
    ("results", "ruling", "is_told"),
    [
        (runs(), "it holds", True),
        (runs(still=8), "it does not hold", False),
        (runs(dead=0.5), "it is undecided whether it is a remedy", False),
    ],
)
def test_readme_names_the_remedy_only_if_it_holds(
    results: list[RunResult], ruling: str, is_told: bool
) -> None:
    assert remedy_sentence(made_up(results)).startswith(f"By the protocol's rule {ruling}: ")
    assert bool(readme_sentence(made_up(results))) is is_told


def test_sentence_has_collapses_dead_units_and_accuracy() -> None:
    sentence = remedy_sentence(made_up(runs(collapsed=7)))
    assert "7 of 40 runs collapse as they are and 0 with Gradient Centralization" in sentence
    assert "a median of 92 % and 3 % of block 2 is dead" in sentence
    assert "its accuracy differs by +0.11 points [" in sentence


def test_tables_have_every_remedy_after_both_lengths() -> None:
    tables = remedy_tables(read_results(DATA / "remedy.jsonl"))
    assert [len(table.rows) for table in tables] == [len(REMEDIES) + len(REMEDIES_OF_20)] * 2


def test_page_says_that_the_dying_is_delayed_and_a_lower_rate_does_more() -> None:
    kept = read_results(DATA / "remedy.jsonl")
    shares = {
        length: [np.median([run.final["dead/relu2"] for run in arms[arm]]) for arm in ARMS]
        for length, arms in by_length(kept).items()
    }
    assert shares["short"][0] < 0.1
    assert shares["long"][0] > 1 / 2 > shares["long"][1]
    assert gains_over_others(kept)["lower-rate"].high < 0
    assert remedy(kept).verdict == "undecided"
    page = " ".join(PAGE.split())
    assert "more than half after five epochs. After five epochs a learning rate of" in page
    assert "five epochs a learning rate of 0.003 does better in both" in page


def stepped(make: Any, steps: int = 3) -> dict[str, Tensor]:
    """The weights of a network after some steps with the gradients that ``make`` returns for."""
    torch.manual_seed(0)
    network, images, digits = BlockNetwork(), torch.randn(32, 1, 28, 28), torch.arange(32) % 10
    optimizer, before = make(network)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(images), digits)
        loss.backward()
        before()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(steps)]
    assert losses == sorted(losses, reverse=True)
    return dict(network.state_dict())


def test_class_of_the_page_does_what_was_measured() -> None:
    """To the bit, with a closure, as Lightning's Trainer calls it."""
    (code,) = re.findall(r"```python\n(# centralized.py\n.*?)```", PAGE, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)

    def measured(network: nn.Module) -> Any:
        layers = [own for own in network.modules() if isinstance(own, nn.Conv2d | nn.Linear)]

        def before() -> None:
            for layer in layers:
                assert layer.weight.grad is not None
                centralize(layer.weight.grad)

        return torch.optim.Adam(network.parameters(), lr=0.01), before

    def shown(network: nn.Module) -> Any:
        return scope["CentralizedAdam"](network.parameters(), lr=0.01), lambda: None

    expected, found = stepped(measured), stepped(shown)
    assert all(found[name].equal(own) for name, own in expected.items())


@pytest.mark.slow
def test_command_of_the_page_trains(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(# centralized.py\n.*?)```", PAGE, re.DOTALL)
    (command,) = re.findall(r"^python (scripts/fit.py .*centralized.*)$", PAGE, re.MULTILINE)
    (tmp_path / "centralized.py").write_text(code)
    (tmp_path / "scripts").symlink_to(REPOSITORY / "scripts")
    short_run = [*command.split(), "--epochs", "1", "--trainer.max_steps", "2"]
    finished = run_fresh(short_run, tmp_path, {}, timeout=120)
    assert finished.returncode == 0, finished.stderr
