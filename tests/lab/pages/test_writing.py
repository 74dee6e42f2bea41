"""Pictures of pages."""

from pathlib import Path

from matplotlib.figure import Figure

from lab.pages.writing import Picture, drawn


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
