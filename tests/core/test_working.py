"""What takes long says what it is, and what does not says nothing."""

import time

import pytest

from convblocks import working


@pytest.mark.parametrize(("patience", "printed"), [(0.0, "counting\n"), (60.0, "")])
def test_work_is_named_only_if_it_takes_long(
    patience: float,
    printed: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(working, "PATIENCE", patience)
    with working.working("counting"):
        time.sleep(0.2)
    assert capsys.readouterr().out == printed


def test_long_list_is_worked_through_in_order_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(working, "PATIENCE", 0.0)
    seen = []
    for number in working.each(range(3), "counting"):
        time.sleep(0.1)
        seen.append(number)
    assert seen == [0, 1, 2]
    assert capsys.readouterr().out == "counting: 3\n"
