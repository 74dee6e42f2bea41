"""Which network is certainly the best."""

from convblocks.compare.analysis import compare
from lab.differences import winner
from tests.made_up import as_claimed, result


def test_a_network_wins_only_if_it_is_certainly_ahead_in_both_readings() -> None:
    assert winner(compare(as_claimed(8))) == "batchnorm"
    assert winner(compare(as_claimed(8, collapsed=3))) == "batchnorm"
    assert winner(compare(as_claimed(2))) is None
    assert winner(compare([result("mlp", 0, 0.9)])) is None
    often = [one for one in as_claimed(8, collapsed=5) if one.arch != "batchnorm"]  # ahead only where it trains
    assert winner(compare(often)) is None
