"""The board: what settings reach and cost, and whether their goals are met."""

import pytest

from lab.pages.board import Entry, goals_table
from lab.pages.experiments import BLOCKS
from tests.made_up import MACHINE, course, provenance, result

GOALS = {"long": 0, "onecycle": 1, "sprint": 2}


def entry(setting: str, accuracy: float, *seconds: float, machine: str = MACHINE) -> Entry:
    """Runs around an accuracy that are at 99 % after these seconds; their first epoch takes a second."""
    arch, runs = BLOCKS if setting == "sprint" else "maxpool", []
    for seed, time in enumerate(seconds):
        first, second = course(0.98, 0.9901)
        epochs = (first | {"seconds": 1.0}, second | {"seconds": time - 1})
        runs.append(
            result(arch, seed, accuracy + 0.0001 * (seed % 3 - 1), epochs=epochs, provenance=provenance(machine))
        )
    return Entry(setting, setting, runs)


FAST = entry("sprint", 0.9905, 8.0, 8.1, 8.2)
SLOW = entry("sprint", 0.9905, 20, 21, 22, machine="4 CPUs (Other), Linux, python 3.12.0")


@pytest.mark.parametrize(
    ("entries", "verdict"),
    [
        ([entry("long", 0.9962, 9, 9, 9, 9, 9)], "met"),
        ([entry("long", 0.9960, 9, 9, 9, 9, 9)], "not met"),
        ([entry("sprint", 0.9905, 11.0, 11.1, 11.2)], "met"),
        ([entry("sprint", 0.9905, 11.0, 11.5, 12.4)], "not met"),
        ([FAST, SLOW], "not met"),
        ([entry("sprint", 0.9905, 20, 21, 22), FAST], "met"),  # two precisions on one machine
    ],
)
def test_goal_is_met_if_the_whole_interval_is_beyond_it_on_every_machine(entries: list[Entry], verdict: str) -> None:
    assert goals_table(entries).rows[GOALS[entries[0].setting]][2] == verdict
