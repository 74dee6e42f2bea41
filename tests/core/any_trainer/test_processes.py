"""Two processes of a plain Trainer, which run this file, see the same images as one."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from convblocks import ImageClassifier, MNISTDataModule
from convblocks.data.images import ImageSets
from convblocks.model.distributed import end_process_group
from tests.conftest import write_digits
from tests.core.any_trainer.plain import Watch, trainer
from tests.forked_python import python_path
from tests.quick_python import run_quickly


def train(processes: int, settings: dict[str, Any]) -> None:
    """Train on the digits in this folder, and write what this process saw."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    watch = Watch()
    settings |= {"devices": processes, "strategy": "ddp" if processes > 1 else "auto", "precision": "64-true"}
    settings |= {"max_epochs": 1, "limit_train_batches": 1.0, "limit_val_batches": 1.0, "log_every_n_steps": 1}
    fitted = trainer(Path(), callbacks=[watch], logger=False, enable_checkpointing=False, **settings)
    fitted.fit(ImageClassifier("batchnorm"), datamodule=MNISTDataModule(".", eval_batch_size=33))
    metrics = {name: float(value) for name, value in fitted.callback_metrics.items()}
    found = {"trained": torch.cat(watch.epochs[0]).tolist(), "metrics": metrics}
    Path(f"{processes}_{fitted.global_rank}.json").write_text(json.dumps(found))
    # As torch asks for: a process that leaves this to its exit was seen to abort there, once in thirty runs.
    fitted.strategy.barrier()
    end_process_group()


def train_on(folder: Path, processes: int, **settings: Any) -> list[dict[str, Any]]:
    """Train, and return what each process saw."""
    command = ["-m", __name__, str(processes), json.dumps(settings)]
    finished = run_quickly(*command, cwd=folder, PYTHONPATH=python_path())
    assert finished.returncode == 0, finished.stderr
    return [json.loads((folder / f"{processes}_{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.slow
@pytest.mark.parametrize("use_distributed_sampler", [True, pytest.param(False, marks=pytest.mark.nightly)])
def test_processes_see_every_image_once_and_have_the_loss_of_one(
    tmp_path: Path, digits: ImageSets, use_distributed_sampler: bool
) -> None:
    # The last batch of 64 holds one image, and all shares of it but one are empty.
    write_digits(tmp_path, digits, train=193, test=100)
    (alone,) = train_on(tmp_path, 1)
    two = train_on(tmp_path, 2, use_distributed_sampler=use_distributed_sampler)
    assert len(alone["trained"]) == 193
    assert sorted(two[0]["trained"] + two[1]["trained"]) == sorted(alone["trained"])
    assert {"train/loss", "train/acc", "test/loss", "test/acc", "train/loss_step"} == alone["metrics"].keys()
    for process in two:
        assert process["metrics"] == pytest.approx(alone["metrics"], rel=1e-9)


if __name__ == "__main__":
    train(int(sys.argv[1]), json.loads(sys.argv[2]))
