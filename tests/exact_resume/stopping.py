"""Stops and kills trainings, and lets them resume: they end as one that nothing stopped."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import torch
from lightning import Callback

from exact_resume import Stopped
from tests.any_task.stop import Signal, forget_signal

TERM, KILL, INT = signal.SIGTERM, signal.SIGKILL, signal.SIGINT

# How a training ends: its weights and metrics.
End = dict[str, Any]

# Trains by a name and further callbacks, from its checkpoint if there is one.
Train = Callable[[str, list[Callback]], End]


# The subject, the signal, and the batch after which it comes, with marks.
Cases = Mapping[tuple[str, signal.Signals, int], list[pytest.MarkDecorator]]


def parameters_of(cases: Cases) -> list[Any]:
    """For ``pytest.mark.parametrize``, with readable names."""
    return [
        pytest.param(*case, marks=marks, id=f"{case[0]}-{case[1].name}-{case[2]}")
        for case, marks in cases.items()
    ]


def assert_resumes_exactly(
    train: Train, name: str, number: signal.Signals, batch: int, wholes: dict[str, End]
) -> None:
    """A subject ends as the whole one, which is trained once and kept in ``wholes``."""
    if name not in wholes:
        wholes[name] = train(f"{name}/whole", [])
    resumed = resumed_after(number, batch, train, f"{name}/{number.name}_{batch}")
    assert_same(wholes[name], resumed)


def resumed_after(number: signal.Signals, batch: int, train: Train, name: str) -> End:
    """How a training ends that receives a signal after a batch, and is resumed."""
    if number == KILL:
        assert exit_code_of(partial(train, name, [Signal(batch, number)])) == -KILL
    else:
        with pytest.raises(Stopped) as caught:
            train(name, [Signal(batch, number)])
        assert caught.value.exit_status == 128 + number
    forget_signal()
    return train(name, [])


def exit_code_of(act: Callable[[], Any]) -> int | None:
    """How a process ends that does this. Workers of a loader that it leaves behind are
    killed: some wait forever, and with them whoever reads the output of the tests.
    """

    def act_as_leader() -> None:
        os.setpgrp()
        act()

    process = multiprocessing.get_context("fork").Process(target=act_as_leader)
    process.start()
    process.join()
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, KILL)
    return process.exitcode


def assert_same(whole: End, resumed: End) -> None:
    assert whole.keys() == resumed.keys()
    assert [part for part in whole if not _is_same(whole[part], resumed[part])] == []


def is_same(whole: End, resumed: End) -> bool:
    return all(_is_same(whole[part], resumed[part]) for part in whole)


def _is_same(left: Any, right: Any) -> bool:
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else bool(left == right)
