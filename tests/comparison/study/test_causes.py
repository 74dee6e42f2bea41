"""Why runs collapse, in words."""

from dataclasses import replace

from convblocks.comparison.outcomes import RunResult
from convblocks.comparison.study.causes import causes, dead_units_table

from convblocks.comparison.study.plan import NOTEBOOK, Cell
from tests.comparison.made_up import CHANCE, outcome

LOW = Cell("1e-3", "constant")


def run(
    arch: str, seed: int, cell: Cell, silent: dict[str, float], accuracies: tuple[float, ...] = (0.9, 0.98)
) -> RunResult:
    """A run with these shares of silent units after its last epoch."""
    epochs = [{"test/acc": one, "seconds": 1.0, "dead/relu1": 0.0} for one in accuracies]
    epochs[-1] |= {f"dead/{layer}": share for layer, share in silent.items()}
    one = outcome(arch, seed, accuracies[-1], cell.settings)
    return replace(one, epochs=tuple(epochs))


RUNS = [
    run("maxpool", 1, NOTEBOOK, {"relu1": 0.0, "relu2": 0.97, "relu3": 0.5}),
    run("maxpool", 2, NOTEBOOK, {"relu1": 0.1, "relu2": 0.91, "relu3": 0.5}),
    run("maxpool", 3, NOTEBOOK, {"relu1": 0.0, "relu2": 1.0, "relu3": 1.0}, (CHANCE, CHANCE)),
    run("maxpool", 4, NOTEBOOK, {"relu1": 0.0, "relu2": 0.98, "relu3": 1.0}, (0.95, CHANCE)),
    run("maxpool", 1, LOW, {"relu1": 0.0, "relu2": 0.02}),
    run("batchnorm", 1, NOTEBOOK, {"relu1": 0.01, "relu2": 0.0}),
]


def test_the_layer_with_most_silent_units_is_named_for_each_network() -> None:
    assert causes(RUNS)[0] == (
        "Units that answer no image at the notebook's setting: 98 % of MaxPool's relu2, 1 % of BatchNorm's relu1 "
        "(each network's worst layer, medians)."
    )


def test_of_runs_that_collapsed_the_first_layer_without_a_unit_left_is_named() -> None:
    assert causes(RUNS)[1] == (
        "2 of all 6 runs collapsed: in all of them a layer has no unit left (MaxPool's relu2 in 1, MaxPool's relu3 "
        "in 1), and 1 had learned something before."
    )


def test_the_learning_rate_from_which_runs_collapse_is_told() -> None:
    assert (
        causes(RUNS)[2] == "Runs collapsed at these learning rates: MaxPool (constant) from 1e-2 up, 2 of 4 [15-85 %]."
    )


def test_where_no_run_collapsed_nothing_is_said_of_it() -> None:
    assert len(causes(RUNS[:2])) == 1


def test_runs_that_do_not_tell_their_silent_units_have_none_to_explain() -> None:
    assert causes([replace(RUNS[0], epochs=({"test/acc": 0.9, "seconds": 1.0},))]) == []


def test_each_setting_has_a_row_with_its_layers() -> None:
    table = dead_units_table(RUNS)
    assert table.columns[3:] == ["relu1", "relu2", "relu3"]
    assert table.rows[0] == ["maxpool", "lr 1e-3, constant", "0 of 1 [0-79 %]", "0 [0, 0]", "2 [2, 2]", "-"]
    assert table.rows[1][2:5] == ["2 of 4 [15-85 %]", "0 [0, 10]", "98 [91, 100]"]
