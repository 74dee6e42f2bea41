"""Runs one measurement at a time, in as many fresh processes as train together."""

import os
import sys
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path

import torch
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from benchmarks.processes import variants
from benchmarks.processes.communication import Collective, Recorder
from benchmarks.processes.variants import Case
from benchmarks.training.case import Stopwatch
from convblocks.model.distributed import end_process_group
from convblocks.training import tensorboard
from convblocks.training.fork import fork_server

VARIANTS = {"fit": variants.fit, "plain": variants.plain}


@dataclass(frozen=True)
class Measurement:
    """The seconds of the timed epoch's steps, and what each step sent, where that was recorded."""

    case: Case
    seconds: float
    collectives: list[Collective]

    @property
    def steps_per_second(self) -> float:
        return self.case.steps / self.seconds

    @property
    def images_per_second(self) -> float:
        return self.steps_per_second * self.case.batch_size


def measure(case: Case, record: bool = False) -> Measurement:
    """Train in processes that have done their imports, in an empty folder; the first of them tells."""
    context = fork_server(variants, tensorboard)
    port = find_free_network_port()
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(case.processes, mp_context=context) as pool:
        ranks = [pool.submit(_measure_here, case, rank, port, Path(folder), record) for rank in range(case.processes)]
        done, waiting = wait(ranks, return_when=FIRST_EXCEPTION)
        if waiting:  # for one that has failed; they would give up after half an hour
            for process in active_children():
                process.kill()
        for rank in done:
            rank.result()
        return ranks[0].result()


def _measure_here(case: Case, rank: int, port: int, folder: Path, record: bool) -> Measurement:
    torch.set_num_threads(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    if case.processes > 1:  # what Lightning tells the processes that it starts itself
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": 0}
        os.environ |= {name: str(value) for name, value in address.items()}
        os.environ |= {"WORLD_SIZE": str(case.processes), "LOCAL_RANK": str(rank)}
    os.chdir(folder)
    stopwatch = Stopwatch()
    recorder = Recorder(case.steps) if record and rank == 0 else None
    VARIANTS[case.variant](case, stopwatch, recorder)
    end_process_group()
    return Measurement(case, stopwatch.timing().training, recorder.collectives if recorder else [])
