"""What a run asks of Slurm, without one; tests/cluster has a real one."""

import subprocess

import pytest

from exact_resume.slurm import is_further_process, requeue

JOB, ARRAY = {"SLURM_JOB_ID": "9"}, {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "3"}
OFF = {"CONVBLOCKS_SLURM": "0"}


@pytest.mark.parametrize(
    ("environment", "job"),
    [(JOB, ["9"]), (JOB | ARRAY, ["7_3"]), ({}, []), (JOB | OFF, [])],
    ids=["job", "array", "none", "ignored"],
)
def test_requeue_is_of_the_task_of_an_array(
    environment: dict[str, str], job: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    requeue(environment)
    assert commands == [["scontrol", "requeue", name] for name in job]


def test_process_is_a_further_one_by_slurms_number_unless_slurm_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_LOCALID", "1")
    assert is_further_process()
    monkeypatch.setenv("CONVBLOCKS_SLURM", "0")
    assert not is_further_process()
