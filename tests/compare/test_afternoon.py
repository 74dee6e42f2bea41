"""An afternoon: two settings are compared, the code is edited, a trial is killed and another one
stopped within an epoch, all is moved.

Each number is that of plain Lightning, which knows nothing of convblocks.
"""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from convblocks.record.directory import LOGS
from tests.scripts import run_fresh, run_script

OWN = """
import os
import signal
from pathlib import Path

import torch
from lightning import LightningDataModule, LightningModule
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Curve(LightningModule):
    def __init__(self, hidden: int = 8, lr: float = 0.01):
        super().__init__()
        self.save_hyperparameters()
        layers = nn.Linear(1, hidden), nn.Tanh(), nn.Dropout(0.1), nn.Linear(hidden, 1)
        self.network = nn.Sequential(*layers)

    def loss(self, batch, name):
        loss = nn.functional.mse_loss(self.network(batch[0]), batch[1])
        self.log(name, loss, on_step=False, on_epoch=True)
        return loss

    def training_step(self, batch, batch_idx):
        return self.loss(batch, "train_loss")

    def validation_step(self, batch, batch_idx):
        self.loss(batch, "val_loss")

    def test_step(self, batch, batch_idx):
        self.loss(batch, "test_loss")

    def on_train_batch_end(self, outputs, batch, batch_idx):
        for name in ("SIGKILL", "SIGTERM"):
            if (self.current_epoch, batch_idx) == (1, 4) and Path(name).exists():
                Path(name).unlink()
                os.kill(os.getpid(), signal.Signals[name])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.hparams.lr)


class Points(LightningDataModule):
    def loader(self, seed, shuffle=False):
        random = torch.Generator().manual_seed(seed)
        x = 6 * torch.rand(256, 1, generator=random) - 3
        return DataLoader(TensorDataset(x, x.sin()), 32, shuffle=shuffle, num_workers=2)

    def train_dataloader(self):
        return self.loader(0, shuffle=True)

    def val_dataloader(self):
        return self.loader(1)

    def test_dataloader(self):
        return self.loader(2)
"""

PLAIN = """
import json
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from own import Curve, Points

torch.set_num_threads(1)
scores = {}
for hidden in (8, 16):
    for seed in (0, 1):
        seed_everything(seed)
        module = Curve(hidden)
        best = ModelCheckpoint("plain", f"{hidden}-{seed}", monitor="val_loss")
        trainer = Trainer(
            max_epochs=3, callbacks=[best], accelerator="cpu", num_sanity_val_steps=0, logger=False
        )
        trainer.fit(module, datamodule=Points())
        (tested,) = trainer.test(ckpt_path="best", datamodule=Points(), weights_only=True)
        scores[f"{hidden} {seed}"] = tested["test_loss"]
print(json.dumps(scores))
"""

COMPARED = ["--model", "own.Curve", "--data", "own.Points", "--epochs", "3", "--seeds", "2"]
COMPARED += ["--grid", "model.hidden=8,16", "--jobs", "1", "--name", "afternoon"]


def compare(*more: str, status: int = 0, folder: str = ".") -> str:
    done = run_script("compare", *COMPARED, *more, cwd=Path(folder).absolute(), fresh=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr if status else done.stdout


def reported(folder: str = ".") -> dict[str, np.float32]:
    """The test scores of the report, by setting and seed, in their own precision."""
    text = (Path(folder) / LOGS / "afternoon" / "comparison.csv").read_text()
    rows = csv.DictReader(text.splitlines())
    return {f"{row['model_hidden']} {row['seed']}": np.float32(row["test_loss"]) for row in rows}


def plain() -> dict[str, np.float32]:
    """The same, by plain Lightning."""
    Path("plain.py").write_text(PLAIN)
    done = run_fresh(["plain.py"], Path.cwd(), {}, 300)
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout.splitlines()[-1])
    return {run: np.float32(score) for run, score in scores.items()}


@pytest.mark.slow
def test_every_number_of_an_afternoon_is_that_of_plain_lightning(workspace: Path) -> None:
    Path("own.py").write_text(OWN)
    compare()
    assert reported() == plain()
    first = reported()

    Path("own.py").write_text(OWN.replace("nn.Tanh()", "nn.ReLU()"))
    assert "own.py has changed since lightning_logs/afternoon" in compare(status=1)
    assert reported() == first

    Path("SIGKILL").touch()
    assert "1 of 4 trials are not done" in compare("--retrain", status=1)
    Path("SIGTERM").touch()
    assert "1 of 4 trials are not done" in compare(status=1)
    assert "3 reused" in compare()
    logs = [path.read_text() for path in (LOGS / "afternoon/logs").iterdir()]
    assert "reading the first 6 batches of epoch 2 again" in "".join(logs)
    scores = plain()
    assert reported() == scores
    assert not first.items() & scores.items()

    compare("--no-fit")
    assert reported() == scores

    Path("moved").mkdir()
    LOGS.rename(Path("moved", LOGS))
    Path("moved", "own.py").write_text(Path("own.py").read_text())
    compare("--no-fit", folder="moved")
    assert reported("moved") == scores
    assert "4 reused" not in compare(folder="moved")  # there is nothing to do
    assert reported("moved") == scores
