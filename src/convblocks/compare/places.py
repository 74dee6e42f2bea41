"""Gives trials their places on this machine: how many run at a time, and on which GPUs."""

import os
from collections.abc import Collection, Mapping, Sequence
from math import ceil
from multiprocessing.process import BaseProcess

from convblocks.compare import forked
from convblocks.compare.dry_run import Plan
from convblocks.compare.trials import Trial
from convblocks.console import echo
from convblocks.cpus import CPUS, free_cpus
from convblocks.text import counted

# The variable that names the GPUs which a process sees: numbers, UUIDs or MIG instances.
VISIBLE = "CUDA_VISIBLE_DEVICES"


class StartHere:
    """Starts trials on this machine, forked from a server that has done the imports.

    Args:
        slots: The value of ``VISIBLE`` for each place; a trial gets the first that fewest
            others have. Without any a trial sees what this process does.
    """

    def __init__(self, slots: Sequence[str] = ()) -> None:
        self._slots = slots
        self._running: list[tuple[str, BaseProcess]] = []

    def __call__(self, trial: Trial) -> BaseProcess:
        self._running = [(slot, process) for slot, process in self._running if process.is_alive()]
        taken = [slot for slot, _ in self._running]
        free = min(self._slots, key=taken.count, default="")
        variables = {VISIBLE: free} if self._slots else {}
        process = forked.start(["fit", *trial.arguments()], trial.log, variables)
        self._running.append((free, process))
        return process


def places_for(
    plans: Collection[Plan], threads: int, jobs: int | None, trials: int
) -> tuple[StartHere, int]:
    """The object that starts trials on this machine, and how many run at a time: by default as
    many as there are GPUs or free CPUs for. A line says so where that is not simply the CPUs.

    Args:
        plans: The plans of the trials.
        threads: The threads of each process of a trial.
        jobs: How many trials the user wants at a time; None for the default.
        trials: The number of trials.
    """
    devices = max(plan.devices for plan in plans)
    slots = gpu_slots(max(plan.gpus for plan in plans), devices)
    if slots:
        chosen = jobs or len(slots)
        of = f"{devices} of {counted(devices * len(slots), 'GPU')}"
        share = f"up to {ceil(chosen / len(slots))} share" if chosen > len(slots) else "each has"
        echo(f"{counted(chosen, 'trial')} at a time: {share} {of}")
        return StartHere(slots), chosen
    if jobs:
        return StartHere(), jobs
    free = round(free_cpus())
    chosen = max(1, free // (threads * devices))
    if chosen < min(CPUS, trials):
        each = counted(threads * devices, "thread")
        reason = f"{free} of {CPUS} CPUs are free, {each} each"
        echo(f"{counted(chosen, 'trial')} at a time ({reason}): --jobs N takes another number")
    return StartHere(), chosen


def gpu_slots(count: int, devices: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs of each place, as ``VISIBLE`` names them: those that it names for this
    process, or all.

    Args:
        count: How many GPUs torch sees; of several MIG instances it sees one.
        devices: The number of GPUs that a trial takes.
        environment: The environment, which may have the variable ``VISIBLE``.
    """
    names = list(map(str, range(count)))
    if count and VISIBLE in environment:
        names = [name.strip() for name in environment[VISIBLE].split(",")]
        if not names[0].startswith("MIG"):
            names = names[:count]  # what follows does not exist
    begins = range(0, len(names) - devices + 1, devices)
    return [",".join(names[begin : begin + devices]) for begin in begins]
