"""The comparisons that the pages show, by the names of their records in docs/data/, and how each is trained."""

from pathlib import Path

from convblocks.comparison.study.plan import CONFIRMING_SEEDS

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY / "docs" / "data"

# How the candidates for a recipe are judged.
CHOOSING = ["--seeds", "200,201", "--data.val_size", "10000"]


def _configs(names: str) -> str:
    return ",".join(f"docs/data/candidates/{name}.yaml" for name in names.split())


# Scripts and their options, to be called in the repository's folder.
COMMANDS = {
    "study-choose": ["scripts/study.py", "choose"],
    "study-confirm": ["scripts/study.py", "confirm"],
    "onecycle": [
        *["scripts/compare.py", "--name", "onecycle", "--config", "configs/onecycle.yaml"],
        *["--arch", "maxpool", "batchnorm", "--seeds", "5"],
    ],
    "long": [
        *["scripts/compare.py", "--name", "long", "--config", "configs/long.yaml"],
        *["--arch", "maxpool", "--seeds", "5"],
    ],
    "candidates-batchnorm": [
        *["scripts/compare.py", "--name", "candidates/batchnorm", "--arch", "batchnorm", "--epochs", "5", *CHOOSING],
        "--grid",
        "config="
        + _configs(
            "moved-128 moved-64 moved-64-lr3e-2 shifted-64 half-64 half-64-lr2e-2 half-64-smoothed half-32-smoothed "
            "half-64-smoothed-decay half-64-betas half-64-betas-lr2e-2"
        ),
    ],
    "candidates-long": [
        *["scripts/compare.py", "--name", "candidates/long", "--epochs", "30", *CHOOSING],
        *["--arch", "maxpool", "batchnorm", "--grid", f"config={_configs('long long-averaged-smoothed')}"],
    ],
    "candidates-sprint": [
        *["scripts/compare.py", "--name", "candidates/sprint", "--arch", "maxpool", "--epochs", "1", *CHOOSING],
        "--grid",
        "config="
        + _configs("sprint sprint-betas sprint-betas-0.75 sprint-betas-0.6 sprint-betas-0.5 sprint-betas-64-0.5"),
    ],
    "sprint": [
        *["scripts/compare.py", "--name", "sprint", "--config", "configs/sprint.yaml", "--arch", "maxpool"],
        *["--seeds", "5", "--jobs", "1", "--threads", "2", "--grid", "trainer.precision=bf16-mixed,32-true"],
    ],
    # With the seeds of the study's second stage, whose runs of batchnorm it is compared with.
    "channels": [
        *["scripts/compare.py", "--name", "channels", "--arch", "docs.channels.ChannelsFirst"],
        *["--seeds", ",".join(map(str, CONFIRMING_SEEDS))],
    ],
    # Without changing the learning rate when the batch grows, and with it, as the batch's size or its square root.
    "batches": [
        *["scripts/compare.py", "--name", "batches", "--arch", "mlp", "--seeds", "3"],
        *["--grid", "batch_size=64,256,1024,4096", "--grid", "lr=0.01,0.02,0.04,0.08,0.16,0.64"],
    ],
}
