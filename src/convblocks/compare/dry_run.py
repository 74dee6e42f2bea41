"""Finds out what a trial will do before anything is written: parses its command line, and
builds all its parts.
"""

import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from convblocks.compare import forked
from convblocks.compare.trials import Arm, Trial
from convblocks.console import echo
from convblocks.errors import UsageError
from convblocks.record.judge import Judge
from convblocks.record.own_code import Code
from convblocks.text import counted

if TYPE_CHECKING:
    from convblocks.run.run import Run


class Plan(NamedTuple):
    """The plan of an arm: how its trials will train.

    Args:
        settings: The settings of one trial; the others differ in the seed.
        judge: The metric by which they are judged; None if only a run finds it.
        epochs: The most epochs that they train for, -1 without a limit.
        is_validated: Whether they are evaluated on validation data.
        devices: How many GPUs, or processes on CPUs, each of them takes.
        gpus: How many GPUs there are for them; 0 if they take none.
        code: The user's own that they run; None if that is not known.
        data: The MD5 of each part of their data; None if that is not known.
        note: A line for people; empty if there is none.
    """

    settings: dict[str, Any]
    judge: Judge | None
    epochs: int
    is_validated: bool
    devices: int = 1
    gpus: int = 0
    code: Code | None = None
    data: dict[str, str] | None = None
    note: str = ""


# The plan of each arm, by ``Trial.arm``.
Plans = Mapping[Arm, Plan]


def plans_of(trials: Sequence[Trial], jobs: int | None = None) -> Plans:
    """The plan of each arm among these trials; ``jobs`` other processes make them, by
    default as many as CPUs.

    Raises:
        UserError: options that ``fit`` refuses, or data that it cannot read.
    """
    arms = {trial.arm: trial.arguments() for trial in trials}
    processes = min(jobs or os.cpu_count() or 1, len(arms))
    echo(f"checking {counted(len(arms), 'setting')}: data and networks are built once")
    with ProcessPoolExecutor(processes, forked.context(), _begin) as pool:
        plans = dict(zip(arms, pool.map(_plan, arms.values()), strict=True))
    for note in dict.fromkeys(plan.note for plan in plans.values() if plan.note):
        echo(note)
    return plans


def _plan(arguments: list[str]) -> Plan:
    # The server has imported them: the process that asks needs no torch.
    from convblocks.compare.judging import judge_of
    from convblocks.run.make import make_run
    from convblocks.run.quiet import quiet_lightning
    from convblocks.settings.config import Config

    quiet_lightning()
    run = make_run(Config.parse([word for word in arguments if word != "--resume"]))
    if run.tries_out:
        raise UsageError("--trainer.fast_dev_run is for fit: there is nothing to compare")
    judge, note = judge_of(run)
    by_test = run.evaluation_split == "test"
    is_validated = run.has("validation")
    if judge:
        by_test = judge.is_of_test or (by_test and not judge.is_of_training)
        is_validated |= judge.split is None
    devices, gpus = _devices_of(run)
    return Plan(
        settings=run.settings,
        judge=judge,
        epochs=run.settings["trainer"]["max_epochs"],
        is_validated=is_validated and not by_test,
        devices=devices,
        gpus=gpus,
        code=run.own_code,
        data=run.read_fingerprint(),
        note=note,
    )


def _devices_of(run: "Run") -> tuple[int, int]:
    """The number of devices that a trial takes, and the number of GPUs that there are. A trial
    takes one GPU unless its settings say more; one that names its GPUs, such as 2 and 3,
    takes all.
    """
    import torch
    from lightning.pytorch.accelerators import CUDAAccelerator

    trainer = run.trainer
    devices = trainer.num_devices
    if not isinstance(trainer.accelerator, CUDAAccelerator):
        return devices, 0
    gpus = torch.cuda.device_count()
    if run.settings["trainer"]["devices"] == "auto":
        return 1, gpus
    is_named = list(trainer.device_ids) != list(range(devices))
    return gpus if is_named else devices, gpus


def _begin() -> None:
    """End with the process that waits for the plan, and at Ctrl-C without a traceback."""
    forked.start_as_by_hand()
    forked.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
