"""When all processes know of a signal that one of them received."""

import signal
import time
from unittest.mock import Mock

import pytest
from torch import distributed

from exact_resume import agreement, signals
from exact_resume.agreement import AgreedSignal


@pytest.mark.parametrize(("seconds_a_step", "most_steps"), [(0.001, 20), (0.25, 8), (5.0, 2)])
def test_signal_takes_effect_within_twenty_steps_or_two_seconds(
    monkeypatch: pytest.MonkeyPatch, seconds_a_step: float, most_steps: int
) -> None:
    """In an epoch after the first, for several durations of a step; within two steps if
    they take over a second.
    """
    clock = 0.0
    monkeypatch.setattr(agreement, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "get_backend", lambda: "gloo")
    monkeypatch.setattr(distributed, "all_reduce", lambda *_, **__: Mock())
    monkeypatch.setattr(time, "perf_counter", lambda: clock)
    agreed = AgreedSignal()
    for _ in range(100):
        clock += seconds_a_step
        assert agreed.after_step() == 0
    assert agreed.now() == 0
    clock += seconds_a_step
    assert agreed.after_step() == 0
    monkeypatch.setattr(signals, "received", lambda: signal.SIGTERM)
    steps, number = 0, 0
    while not number:
        clock += seconds_a_step
        number = agreed.after_step()
        steps += 1
    assert steps <= most_steps
