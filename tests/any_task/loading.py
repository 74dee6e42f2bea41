"""Points whose loader has worker processes, in the ways that people write it."""

from multiprocessing import get_start_method
from pathlib import Path
from typing import Any, Literal

from torch.utils.data import DataLoader, default_collate

from tests.any_task.regression import Points


class Loaded(Points):
    """Adds the name of Python's way to start processes to the file ``methods``.

    Args:
        workers: How many the training loader has.
        kind: Whether they live on, or collate by a lambda, which cannot be pickled.
    """

    def __init__(
        self, workers: int = 2, kind: Literal["plain", "persistent", "collated"] = "plain"
    ) -> None:
        super().__init__()
        self.workers, self.kind = workers, kind

    def train_dataloader(self) -> DataLoader[Any]:
        with Path("methods").open("a") as file:
            file.write(f"{get_start_method()}\n")
        collate = (lambda items: default_collate(items)) if self.kind == "collated" else None
        return DataLoader(
            self.points(0),
            16,
            shuffle=True,
            num_workers=self.workers,
            persistent_workers=self.kind == "persistent",
            collate_fn=collate,
        )
