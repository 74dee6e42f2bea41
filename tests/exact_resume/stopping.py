"""Stops and kills trainings, and lets them resume: they end as one that nothing stopped."""

import multiprocessing
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from lightning import Callback

from exact_resume import Stopped
from tests.any_task.stop import Signal, forget_signal

TERM, KILL = signal.SIGTERM, signal.SIGKILL

# How a training ends: its weights and metrics.
End = dict[str, Any]

# Trains by a name and further callbacks, from its checkpoint if there is one.
Train = Callable[[str, list[Callback]], End]


def resumed_after(number: signal.Signals, batch: int, train: Train, name: str) -> End:
    """How a training ends that receives a signal after a batch, and is resumed."""
    if number == KILL:
        process = multiprocessing.get_context("fork").Process(
            target=partial(train, name, [Signal(batch, number)])
        )
        process.start()
        process.join()
        assert process.exitcode == -KILL
    else:
        with pytest.raises(Stopped) as caught:
            train(name, [Signal(batch)])
        assert caught.value.exit_status == 128 + TERM
    forget_signal()
    return train(name, [])


def assert_same(whole: End, resumed: End) -> None:
    assert whole.keys() == resumed.keys()
    assert [part for part in whole if not _is_same(whole[part], resumed[part])] == []


def _is_same(left: Any, right: Any) -> bool:
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else bool(left == right)
