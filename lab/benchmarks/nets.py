"""Nets below the redesign: does this tree train to the same bits as another revision, and as fast?

usage: python -m lab.benchmarks.nets [--revision REVISION] [--speed PAIRS]

Runs short trainings in a clone of the revision and in this tree, and compares their weights and buffers, their metrics
(without times), and the final metrics and mistakes that both have. With ``--speed`` it compares images per second
instead, in alternating pairs. Only the command line of ``fit`` is used. Goes when the redesign is done.
"""

import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch
from scipy.stats import binom

from lab import NETWORKS

REPOSITORY = Path(__file__).resolve().parents[2]

# The last revision before the redesign.
BASE = "f4f998e85f424681cf3c9aca9f2f6b8fe3d1174e"

SHORT = ["--epochs", "2", "--trainer.limit_train_batches", "24", "--trainer.log_every_n_steps", "5", "--threads", "1"]
OWN = [
    *("--model", "regression.Curve", "--data", "regression.Points"),
    *("--judge", "val/rmse:min", "--epochs", "6", "--threads", "1"),
]

# Options for each kind of run, and whether they are for images only.
KINDS = {
    "plain": ([], False),
    "val_size": (["--data.val_size", "5000", "--lr_scheduler", "onecycle"], True),
    "augmented": (["--data.shift", "2", "--data.rotation", "10", "--data.flip", "true"], True),
    "accumulate 2": (["--trainer.accumulate_grad_batches", "2"], False),
    "two processes": (["--trainer.devices", "2", "--trainer.accelerator", "cpu"], False),
    "stopped in two processes": (["--trainer.devices", "2", "--trainer.accelerator", "cpu"], False),
    "stopped within an epoch": ([], False),
    "killed within an epoch": ([], False),
}

# Ends a run after so many batches of all epochs.
STOP = """
import os
import signal

from lightning import Callback


class Stop(Callback):
    def __init__(self, batches: int, how: str):
        self.batches, self.how = batches, how

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batches and not os.path.exists("stopped"):
            open("stopped", "w").close()
            os.kill(os.getpid(), getattr(signal, self.how))
"""


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("--revision", default=BASE)
    parser.add_argument("--speed", type=int, default=0, metavar="PAIRS")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        other = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, other], check=True)
        subprocess.run(["git", "-C", other, "checkout", "--quiet", options.revision], check=True)
        trees = {options.revision[:7]: other, "this tree": REPOSITORY}
        is_same = (
            compare_speed(trees, options.speed, Path(folder)) if options.speed else compare_bits(trees, Path(folder))
        )
    sys.exit(not is_same)


def compare_bits(trees: dict[str, Path], folder: Path) -> bool:
    """Print whether each kind of run is the same in both trees; returns whether all are."""
    all_same = True
    for name in (*NETWORKS, "own"):
        for kind, (options, is_of_images) in KINDS.items():
            if is_of_images and name == "own":
                continue
            old, new = (
                outcome_of(tree, name, kind, options, folder / f"{at}-{name}-{kind}") for at, tree in trees.items()
            )
            both = old["final"].keys() & new["final"].keys()
            assert both, f"no final metric is in both: {old['final']}, {new['final']}"
            for outcome in (old, new):
                outcome["final"] = {metric: outcome["final"][metric] for metric in both}
            differing = [part for part in old if old[part] != new[part]]
            all_same &= not differing
            print(f"{name:10} {kind:24} {'differs: ' + ', '.join(differing) if differing else 'same'}", flush=True)
    return all_same


def outcome_of(tree: Path, name: str, kind: str, options: list[str], folder: Path) -> dict[str, Any]:
    """The weights, as a hash, and the metrics and mistakes of a run of that tree."""
    folder.mkdir(parents=True)
    own = next(REPOSITORY.glob("tests/**/regression.py"))
    (folder / own.name).write_text(own.read_text())
    words = [*(OWN if name == "own" else ["--arch", name, *SHORT]), *options]
    how = {"stopped": "SIGTERM", "killed": "SIGKILL"}.get(kind.split()[0])
    if how:
        (folder / "stop.py").write_text(STOP)
        batches = "19" if name == "own" and "two processes" in kind else "31"  # within an epoch
        stop = ["--trainer.callbacks", "stop.Stop", "--trainer.callbacks.batches", batches]
        stop += ["--trainer.callbacks.how", how]
        fit(tree, [*words, *stop], folder, ends=False)
        words = []
    fit(tree, [*words, *(["--resume"] if how else [])], folder)
    run = folder / "lightning_logs" / "run"
    weights = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    with (run / "metrics.csv").open() as file:
        others = ("train/lr", "seconds", "images_per_second")  # not the same, or not there, in each tree
        rows = [{key: value for key, value in row.items() if key not in others} for row in csv.DictReader(file)]
    mistakes = run / "mistakes.csv"
    return {
        "weights": hashlib.md5(
            repr(
                {
                    key: (value.dtype, value.numpy().tobytes())
                    for key, value in sorted(weights.items())
                    if "_metrics." not in key  # sums of an epoch, no weights
                }
            ).encode()
        ).hexdigest(),
        "metrics": rows,
        "final": json.loads((run / "summary.json").read_text())["final"],
        "mistakes": mistakes.read_text() if mistakes.exists() else "",
    }


def fit(tree: Path, words: list[str], folder: Path, ends: bool = True) -> None:
    """Run ``fit`` of a tree in a folder."""
    environment = os.environ | {"PYTHONPATH": f"{tree / 'src'}:{folder}", "CONVBLOCKS_DATA": str(REPOSITORY / "data")}
    command = [sys.executable, "-m", "convblocks", "fit", *words, "--name", "run"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in ([0] if ends else [-signal.SIGKILL, 128 + signal.SIGTERM]):
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def compare_speed(trees: dict[str, Path], pairs: int, folder: Path) -> bool:
    """Print this tree's seconds a training step as a multiple of the other's; returns whether 1 is not excluded."""
    (other, one), is_same = trees, True
    batches = {"mlp": 937, "maxpool": 150, "batchnorm": 300}
    for arch in NETWORKS:
        ratios = []
        for pair in range(pairs):
            speeds = {}
            for name in random.sample(list(trees), 2):
                place = folder / f"speed-{arch}-{pair}-{name}"
                place.mkdir()
                words = ["--arch", arch, "--epochs", "3", "--trainer.limit_train_batches", str(batches[arch])]
                fit(trees[name], [*words, "--threads", "1", "--trainer.limit_val_batches", "1"], place)
                with (place / "lightning_logs" / "run" / "metrics.csv").open() as file:
                    speeds[name] = 1 / min(float(row["seconds"]) for row in csv.DictReader(file))
            ratios.append(speeds[other] / speeds[one])
        ratios.sort()
        outside = next(k for k in range(pairs, -1, -1) if k == 0 or 2 * binom.cdf(k - 1, pairs, 0.5) <= 0.07)
        low, high = (ratios[outside - 1], ratios[-outside]) if outside else (0.0, float("inf"))
        is_same &= low <= 1
        print(f"{arch:10} time {median(ratios):.3f} [{low:.3f}, {high:.3f}] of {other}'s, n = {pairs}", flush=True)
    return is_same


if __name__ == "__main__":
    main()
