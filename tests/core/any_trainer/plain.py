"""An ordinary Trainer, shared by these tests."""

from pathlib import Path
from typing import Any

from lightning import Trainer


def trainer(folder: Path, **settings: Any) -> Trainer:
    """Lightning's Trainer for two short epochs, quiet and on CPU, otherwise with its defaults."""
    quiet: dict[str, Any] = {
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
    }
    short = {
        "limit_train_batches": 20,
        "limit_val_batches": 2,
        "max_epochs": 2,
        "log_every_n_steps": 5,
    }
    return Trainer(default_root_dir=folder, **(quiet | short | settings))
