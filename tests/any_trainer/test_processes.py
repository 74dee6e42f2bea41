"""Two processes of a plain Trainer see the same images as one."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from convblocks.data.images import ImageSets
from tests.any_trainer import two_processes
from tests.conftest import REPOSITORY, write_digits
from tests.quick_python import run_quickly


def train_on(folder: Path, processes: int, **options: Any) -> list[dict[str, Any]]:
    """Train, and return what each process saw."""
    command = ["-m", two_processes.__name__, str(processes), json.dumps(options)]
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    finished = run_quickly(*command, cwd=folder, PYTHONPATH=path)
    assert finished.returncode == 0, finished.stderr
    return [json.loads((folder / f"{processes}_{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.slow
@pytest.mark.parametrize("use_distributed_sampler", [True, False])
def test_two_processes_see_every_image_once_and_have_the_loss_of_one(
    tmp_path: Path, digits: ImageSets, use_distributed_sampler: bool
) -> None:
    # The last batch of 64 holds one image, and all shares of it but one are empty.
    write_digits(tmp_path, digits, train=193, test=100)
    (one,) = train_on(tmp_path, 1)
    two = train_on(tmp_path, 2, use_distributed_sampler=use_distributed_sampler)
    assert len(one["trained"]) == 193
    assert sorted(two[0]["trained"] + two[1]["trained"]) == sorted(one["trained"])
    assert two[0]["evaluated"] + two[1]["evaluated"] == one["evaluated"] == 100
    assert {"train/loss", "train/acc", "test/loss", "test/acc", "train/loss_step"} == one["metrics"].keys()
    for process in two:
        assert process["metrics"] == pytest.approx(one["metrics"], rel=1e-9)
