"""Where a step's arithmetic goes, by operator and shape."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.training import loops
from benchmarks.training.case import WARM_UP_STEPS, Case, Precision
from benchmarks.training.loops import BareLoop
from convblocks.training.fast_network import speed_up_network
from convblocks.training.fork import fork_server

STEPS = 30


@dataclass(frozen=True)
class OperatorTime:
    """Microseconds a step that an operator takes by itself, without those that it calls, on inputs of one shape."""

    arch: str
    precision: Precision
    threads: int
    name: str
    shape: str
    microseconds: float


def operator_times(case: Case, threads: int) -> list[OperatorTime]:
    """Profile the steps of the bare loop, with the network as ``fit`` runs it, in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=fork_server(loops)) as pool:
        return pool.submit(_operator_times, case, threads).result()


def _operator_times(case: Case, threads: int) -> list[OperatorTime]:
    torch.set_num_threads(threads)
    loop = BareLoop(case)
    speed_up_network(loop.network)
    loop.train(WARM_UP_STEPS)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        loop.train(STEPS)
    return [
        OperatorTime(
            case.arch,
            case.precision,
            threads,
            event.key.removeprefix("aten::"),
            "x".join(map(str, event.input_shapes[0])) if event.input_shapes else "",
            event.self_cpu_time_total / STEPS,
        )
        for event in profiled.key_averages(group_by_input_shape=True)
    ]
