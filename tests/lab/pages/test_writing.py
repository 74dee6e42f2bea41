"""Pictures of pages, and machines."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lab.pages.experiments import sources
from lab.pages.overview import machines_of
from lab.pages.writing import DATA, Picture, brief_machine, drawn
from lab.results import read_results


def draw() -> Figure:
    figure = Figure()
    for axes, title in zip(figure.subplots(1, 3), ("MLP:\nslow", "", "MaxPool: fast"), strict=True):
        axes.set_title(title)
    return figure


def test_alternative_text_begins_with_the_titles_of_the_panels(tmp_path: Path) -> None:
    shown = drawn(Picture("speed", "Seconds by network", draw), tmp_path)
    assert 'alt="MLP: slow. MaxPool: fast. Seconds by network" src="speed.png"' in shown
    assert 'srcset="speed-dark.png"' in shown
    assert {path.name for path in tmp_path.iterdir()} == {"speed.png", "speed-dark.png"}


@pytest.mark.parametrize(
    ("machine", "brief"),
    [
        ("2 CPUs (AMD EPYC), Linux, torch 2, torchvision 1", "2 CPUs (AMD EPYC), torch 2"),
        (
            "2 CPUs (Intel(R) Xeon(R) Processor, family 6, AVX512), Linux, python 3, torch 2",
            "2 CPUs (Intel(R) Xeon(R) Processor, family 6, AVX512), torch 2",
        ),
    ],
)
def test_brief_machine_keeps_processor_and_torch(machine: str, brief: str) -> None:
    assert brief_machine(machine) == brief


def test_pages_name_the_processor_of_records_that_do() -> None:
    known = "2 CPUs (AMD EPYC, family 25, model 17, AVX512), "
    assert f"; {known}torch 2" in sources("cause", read_results(DATA / "cause.jsonl"))
    assert "; 2 CPUs (AMD EPYC), torch 2" in sources("why", read_results(DATA / "why.jsonl"))
    assert any(machine.startswith(f"{known}Linux, ") for machine in machines_of(DATA))
