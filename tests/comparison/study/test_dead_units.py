"""The dead units of the study, and their part in collapses."""

from dataclasses import replace

from convblocks.comparison.study.dead_units import dead_unit_sentences, dead_units_table
from convblocks.comparison.study.plan import NOTEBOOK, Cell
from convblocks.runs.result import RunResult
from tests.comparison.made_up import CHANCE, course, result

LOW = Cell("1e-3", "constant")


def run(
    arch: str, seed: int, cell: Cell, dead: dict[str, float], accuracies: tuple[float, ...] = (0.9, 0.98)
) -> RunResult:
    """A run with these shares of dead units after its last epoch."""
    *before, last = course(*accuracies)
    epochs = (
        *(row | {"dead/relu1": 0.0} for row in before),
        last | {f"dead/{name}": one for name, one in dead.items()},
    )
    return result(arch, seed, accuracies[-1], cell.overrides, epochs)


RUNS = [
    run("maxpool", 1, NOTEBOOK, {"relu1": 0.0, "relu2": 0.97, "relu3": 0.5}),
    run("maxpool", 2, NOTEBOOK, {"relu1": 0.1, "relu2": 0.91, "relu3": 0.5}),
    run("maxpool", 3, NOTEBOOK, {"relu1": 0.0, "relu2": 1.0, "relu3": 1.0}, (CHANCE, CHANCE)),
    run("maxpool", 4, NOTEBOOK, {"relu1": 0.0, "relu2": 0.98, "relu3": 1.0}, (0.95, CHANCE)),
    run("maxpool", 1, LOW, {"relu1": 0.0, "relu2": 0.02}),
    run("batchnorm", 1, NOTEBOOK, {"relu1": 0.01, "relu2": 0.0}),
]


def test_the_sentences_name_the_worst_layers_and_what_died_in_collapsed_runs() -> None:
    """Of a collapsed run the first layer that is dead altogether counts."""
    assert dead_unit_sentences(RUNS) == [
        "Dead units at the notebook's setting: 98 % of MaxPool's relu2, 1 % of BatchNorm's relu1 (each network's worst "
        "layer, medians).",
        "2 of all 6 runs collapsed: in all of them a whole layer is dead (MaxPool's relu2 in 1, MaxPool's relu3 in 1), "
        "and 1 had learned something before.",
        "Runs collapsed at these learning rates: MaxPool (constant) from 1e-2 up, 2 of 4 [15-85 %].",
    ]


def test_a_collapsed_run_may_have_no_dead_layer() -> None:
    collapsed = run("maxpool", 5, NOTEBOOK, {"relu1": 0.2}, (CHANCE, CHANCE))
    assert dead_unit_sentences([*RUNS[:2], collapsed])[1] == (
        "1 of all 3 runs collapsed: none has a dead layer, and none had learned anything before."
    )


def test_without_collapsed_runs_there_is_no_sentence_on_them() -> None:
    assert len(dead_unit_sentences(RUNS[:2])) == 1


def test_without_dead_units_in_the_results_there_are_no_sentences() -> None:
    assert dead_unit_sentences([replace(RUNS[0], epochs=course(0.9))]) == []


def test_each_setting_has_a_line_with_its_layers() -> None:
    table = dead_units_table(RUNS)
    assert table.columns[3:] == ["relu1", "relu2", "relu3"]
    assert table.rows[0] == ["maxpool", "lr 1e-3, constant", "0 of 1 [0-79 %]", "0 [0, 0]", "2 [2, 2]", "-"]
    assert table.rows[1][2:5] == ["2 of 4 [15-85 %]", "0 [0, 10]", "98 [91, 100]"]
