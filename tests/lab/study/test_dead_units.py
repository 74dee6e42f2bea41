"""The figure of dead units tells collapsed runs from medians."""

from convblocks.record.directory import DEAD
from lab.study.dead_units import dead_units_figure
from tests.made_up import CHANCE, course, result


def test_only_collapsed_runs_are_dotted_and_layers_that_died_in_them_say_so() -> None:
    runs = []
    for seed, accuracy in enumerate([CHANCE, CHANCE, 0.97, 0.97, 0.97]):
        dead = {f"{DEAD}relu1": 0.0, f"{DEAD}relu2": 1.0 if accuracy == CHANCE else 0.6}
        epochs = tuple(row | dead for row in course(accuracy, accuracy, accuracy))
        runs.append(result("maxpool", seed, accuracy, epochs=epochs))
    (panel,) = dead_units_figure(runs).axes
    dotted = [line.get_gid() for line in panel.lines if line.get_linestyle() == ":"]
    assert dotted == ["runs"] * 4  # two runs of two layers
    assert [text.get_text() for text in panel.texts] == ["block 1", "block 2\nall dead\nin 2 runs"]
