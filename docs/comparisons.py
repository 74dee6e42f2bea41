"""The comparisons that the pages show, by the names of their records in docs/data/, and how each is trained."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY / "docs" / "data"

# Scripts and their options, to be called in the repository's folder.
COMMANDS = {
    "study-choose": ["scripts/study.py", "choose"],
    "study-confirm": ["scripts/study.py", "confirm"],
    "onecycle": [
        *["scripts/compare.py", "--name", "onecycle", "--config", "configs/onecycle.yaml"],
        *["--arch", "maxpool", "batchnorm", "--seeds", "5"],
    ],
    "sprint": [
        *["scripts/compare.py", "--name", "sprint", "--config", "configs/sprint.yaml", "--arch", "maxpool"],
        *["--seeds", "5", "--jobs", "1", "--threads", "2", "--grid", "trainer.precision=bf16-mixed,32-true"],
    ],
    # Without changing the learning rate when the batch grows, and with it, as the batch's size or its square root.
    "batches": [
        *["scripts/compare.py", "--name", "batches", "--arch", "mlp", "--seeds", "3"],
        *["--grid", "batch_size=64,256,1024,4096", "--grid", "lr=0.01,0.02,0.04,0.08,0.16,0.64"],
    ],
}
