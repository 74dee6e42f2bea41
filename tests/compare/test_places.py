"""How many trials run at a time on this machine, and on which GPUs each."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.accelerators import CUDAAccelerator

from convblocks.compare import places
from convblocks.compare.dry_run import Plan, _devices_of, plans_of
from convblocks.compare.launch import fit_all
from convblocks.compare.options import parse
from convblocks.compare.places import VISIBLE, StartHere, gpu_slots, places_for
from convblocks.record.judge import ACCURACY
from tests.any_task.tasks import options_of


def plan(devices: int, gpus: int) -> Plan:
    return Plan({}, ACCURACY, 1, is_validated=True, devices=devices, gpus=gpus)


@pytest.mark.parametrize(
    ("visible", "count", "devices", "slots"),
    [
        (None, 0, 1, []),
        (None, 3, 1, ["0", "1", "2"]),
        (None, 5, 2, ["0,1", "2,3"]),
        ("2, 5", 2, 1, ["2", "5"]),
        ("GPU-8f3a,GPU-17c2", 2, 2, ["GPU-8f3a,GPU-17c2"]),
        ("0,-1,1", 1, 1, ["0"]),
        ("0,1", 0, 1, []),
        # torch sees one of several
        ("MIG-a1,MIG-b2", 1, 1, ["MIG-a1", "MIG-b2"]),
    ],
)
def test_gpus_are_those_that_the_environment_names_or_all(
    visible: str | None, count: int, devices: int, slots: list[str]
) -> None:
    environment = {} if visible is None else {VISIBLE: visible}
    assert gpu_slots(count, devices, environment) == slots


@pytest.mark.parametrize(
    ("asked", "chosen", "takes"),
    [("auto", [0, 1, 2, 3], 1), (1, [0], 1), (2, [0, 1], 2), ([2, 3], [2, 3], 4)],
)
def test_trial_takes_one_gpu_or_as_many_as_it_asks_for_and_all_if_it_names_them(
    asked: object, chosen: list[int], takes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    trainer = SimpleNamespace(
        accelerator=CUDAAccelerator(), num_devices=len(chosen), device_ids=chosen
    )
    run: Any = SimpleNamespace(settings={"trainer": {"devices": asked}}, trainer=trainer)
    assert _devices_of(run) == (takes, 4)


@pytest.mark.parametrize(
    ("plans", "jobs", "at_a_time", "says"),
    [
        ([plan(1, 4)], None, 4, "4 trials at a time: each has 1 of 4 GPUs\n"),
        ([plan(1, 4), plan(2, 4)], None, 2, "2 trials at a time: each has 2 of 4 GPUs\n"),
        ([plan(1, 2)], 3, 3, "3 trials at a time: up to 2 share 1 of 2 GPUs\n"),
        ([plan(1, 0)], None, 4, ""),
        ([plan(2, 0)], None, 2, "2 trials at a time (4 of 4 CPUs are free, 2 threads each): "),
        ([plan(1, 0)], 9, 9, ""),
    ],
)
def test_as_many_trials_run_as_fit_unless_jobs_says_otherwise(
    plans: list[Plan],
    jobs: int | None,
    at_a_time: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setattr(places, "CPUS", 4)
    monkeypatch.setattr(places, "free_cpus", lambda: 3.9)
    assert places_for(plans, threads=1, jobs=jobs, trials=9)[1] == at_a_time
    printed = capsys.readouterr().out
    assert printed.startswith(says)
    assert bool(printed) == bool(says)


def test_cpus_that_others_use_are_left_to_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(places, "CPUS", 4)
    monkeypatch.setattr(places, "free_cpus", lambda: 1.2)
    assert places_for([plan(1, 0)], threads=1, jobs=None, trials=9)[1] == 1
    assert capsys.readouterr().out == (
        "1 trial at a time (1 of 4 CPUs are free, 1 thread each): --jobs N takes another number\n"
    )


PLACED = """
import os

from tests.any_task.regression import Curve


class Placed(Curve):
    def on_fit_start(self):
        print("sees", os.environ["CUDA_VISIBLE_DEVICES"])
"""


@pytest.mark.slow
def test_trials_side_by_side_see_different_gpus_and_a_free_one_is_taken_again(
    workspace: Path,
) -> None:
    """They train on the CPU, but see what those on GPUs would."""
    Path("placed.py").write_text(PLACED)
    flags = [*options_of("regression", epochs=1), "--model", "placed.Placed", "--seeds", "3"]
    trials = parse([*flags, "--trainer.accelerator", "cpu"]).trials
    queue = iter(trials)
    ended = list(fit_all(lambda: next(queue, None), 2, StartHere(["5", "MIG-a1"])))
    assert [status for _, status in ended] == [0, 0, 0]
    sees = [re.findall("sees (.*)", trial.log.read_text()) for trial in trials]
    assert sees[:2] == [["5"], ["MIG-a1"]]
    assert sees[2] == sees[trials.index(ended[0][0])]


@pytest.mark.slow
def test_trial_on_cpus_takes_no_gpu_and_says_how_many_processes_it_has(workspace: Path) -> None:
    flags = [*options_of("regression"), "--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    (made,) = plans_of(parse([*flags, "--seeds", "1"]).trials).values()
    assert (made.devices, made.gpus) == (2, 0)
