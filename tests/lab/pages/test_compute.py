"""The page on equal compute claims no more than there are runs."""

import pytest

from convblocks.record.result import RunResult
from lab.pages.compute import compute_figure, compute_sentence, compute_tables
from tests.lab.test_compute import choosing, confirming
from tests.made_up import CHANCE, result


def rows(results: list[RunResult]) -> list[list[str]]:
    return [
        [str(cell) for cell in row[:2]] for table in compute_tables(results) for row in table.rows
    ]


@pytest.mark.parametrize("seeds", [0, 5])
def test_nothing_is_decided_before_all_seeds(seeds: int) -> None:
    runs = choosing() + confirming(seeds=range(7003, 7003 + seeds))
    sentence = compute_sentence(runs)
    assert sentence == f"Not decided yet: {seeds} of 12 seeds have confirmed the chosen rates."


def test_sentence_has_the_verdict_and_both_leads() -> None:
    sentence = compute_sentence(choosing() + confirming(0.9905))
    assert sentence.startswith("BatchNorm stays behind, whichever of these ways it spends ")
    assert "over longer 0.36 points [" in sentence
    assert "over wider 0.36 points [" in sentence


def test_lead_is_a_probability_if_a_run_collapses() -> None:
    *runs, last = confirming(0.9905)
    lost = result(last.arch, last.seed, CHANCE, last.overrides)
    found = [*choosing(), *runs, lost]
    assert "a better run than one of wider with probability 100 % [" in compute_sentence(found)
    _, differences = compute_tables(found)
    assert str(differences.rows[1][2]).startswith("100 % [")


def test_an_edge_is_told() -> None:
    sentence = compute_sentence(choosing("3e-2") + confirming(0.99))
    assert sentence.startswith("By the protocol's rule it is undecided")
    assert "Of longer and wider the least or the largest rate won" in sentence


def test_networks_without_confirming_runs_have_no_line() -> None:
    assert [network for network, _ in rows(choosing())] == ["maxpool", "batchnorm"]


def test_arms_stand_between_the_studys_networks_and_are_compared_with_both() -> None:
    found = rows(choosing() + confirming())
    assert [network for network, _ in found[:4]] == ["maxpool", "longer", "wider", "batchnorm"]
    assert found[4:] == [
        ["maxpool", "longer"],
        ["maxpool", "wider"],
        ["longer", "batchnorm"],
        ["wider", "batchnorm"],
    ]


def test_title_of_the_figure_names_the_chosen_rates() -> None:
    (axes,) = compute_figure(choosing()).axes
    assert axes.get_title() == "longer is best at 1e-2 and wider is best at 1e-2"
