"""Run by torchrun in every process of test_distributed: trains all that the test compares, one run after another."""

import os

from convblocks.training import fit


def run_name(case: str, processes: int) -> str:
    return f"{case}/processes_{processes}"


COMMON = ["--epochs", "1", "--threads", "1", "--trainer.accelerator", "cpu"]

# What the test compares needs no pictures and, but where all are counted, few images: those of the test's own folder.
FEW_IMAGES = ["--data.root", "digits", "--trainer.logger", "false"]
TRAIN_IMAGES, TEST_IMAGES = 1600, 200

# Weights after 200 steps, in float64.
LONG = [*["--trainer.precision", "64-true", "--batch_size", "8", "--trainer.limit_train_batches", "200"], *FEW_IMAGES]

AUGMENTED = ["--data.shift", "2", "--data.rotation", "10", "--data.scale", "0.1"]

# One step of plain gradient descent with learning rate 1: the weights move by the gradient itself.
GRADIENT = [
    *["--optimizer", "sgd", "--lr", "1"],
    *["--trainer.limit_train_batches", "1", "--trainer.limit_val_batches", "1"],
]

# 193 training images: the last of four batches holds one image, and most processes' share of it is empty.
EMPTY_SHARE = ["--trainer.precision", "64-true", "--data.val_size", str(TRAIN_IMAGES - 193), *FEW_IMAGES]

# 10,000 test images in batches of 999: neither they nor the shares of 2 or 3 processes divide.
COUNTS = [
    *["--trainer.precision", "64-true", "--batch_size", "60", "--data.eval_batch_size", "999"],
    *["--trainer.limit_train_batches", "5", "--trainer.logger", "false"],
]


def cases(processes: int) -> dict[str, list[str]]:
    """The command lines to compare, by name, that this number of processes can run."""
    if processes == 3:
        return {"counts": ["--arch", "mlp", *COUNTS]}
    archs = ("mlp", "maxpool", "batchnorm")
    exact = {
        f"exact-{arch}": ["--arch", arch, *GRADIENT, "--trainer.precision", "64-true", *FEW_IMAGES] for arch in archs
    }
    return (
        (exact if processes == 1 else {})
        | {f"long-{arch}": ["--arch", arch, *LONG] for arch in archs}
        | {f"gradient-{arch}": ["--arch", arch, *GRADIENT, *FEW_IMAGES] for arch in archs}
        | {"long-augmented": ["--arch", "mlp", *LONG, *AUGMENTED]}
        | {"empty-share": ["--arch", "batchnorm", *EMPTY_SHARE]}
        | {"counts": ["--arch", "mlp", *COUNTS]}
    )


def run_all(processes: int) -> None:
    distributed = ["--trainer.devices", str(processes), "--trainer.strategy", "ddp"] if processes > 1 else []
    for case, flags in cases(processes).items():
        fit.main([*COMMON, *flags, *distributed, "--name", run_name(case, processes)])


if __name__ == "__main__":
    run_all(int(os.environ["WORLD_SIZE"]))
