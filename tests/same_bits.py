"""Whether two versions of the code train to the same bits.

usage: python -m tests.same_bits train OUT.json [--only TEXT]
       python -m tests.same_bits compare A.json B.json [--only TEXT]

``train`` trains 30 kinds of short runs as a user would, by ``python -m convblocks fit`` of the
repository that this file is in, and writes digests of what each leaves: weights, optimizers,
metrics and mistakes. ``compare`` says which kinds differ, and in what. TEXT limits both to the
kinds whose names contain it. Both files must come from the same machine, since processors and
versions of torch round differently.
"""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

REPOSITORY = Path(__file__).resolve().parents[1]
SHAPES = "tests.any_task.shapes"

# What is trained, and its options: networks in epochs of 40 steps, the module in epochs of 20.
SHORT = ["--trainer.limit_train_batches", "40"]
IMAGES = {name: ["--arch", name, *SHORT] for name in ("mlp", "maxpool", "batchnorm")}
MODULE = ["--model", f"{SHAPES}.Segmenter", "--data", f"{SHAPES}.Shapes", "--judge", "val/iou:max"]
SUBJECTS = IMAGES | {"module": MODULE}

# How it is trained: further options. The last three end before their time, and are resumed.
OF_IMAGES = {
    "with held-out images": ["--data.val_size", "1000"],
    "augmented": ["--data.shift", "2", "--data.rotation", "10"],
}
PROCESSES = ["--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"]
INTERRUPTED = ["--trainer.callbacks+", "tests.same_bits.Interruption"]
WAYS = OF_IMAGES | {
    "plain": [],
    "with accumulation": ["--trainer.accumulate_grad_batches", "2"],
    "in two processes": PROCESSES,
    "stopped": INTERRUPTED,
    "killed": INTERRUPTED,
    "resumed for longer": ["--epochs", "1"],
}

SIGNALS = {"stopped": signal.SIGTERM, "killed": signal.SIGKILL}
RESUMED = [*SIGNALS, "resumed for longer"]

KINDS = {
    f"{subject} {way}": (subject, way)
    for subject in SUBJECTS
    for way in WAYS
    if subject in IMAGES or way not in OF_IMAGES
}

# Of the module in two processes: Lightning cannot share torchdata's loader among them.
SHARED = ["--data", f"{SHAPES}.Shared", "--trainer.use_distributed_sampler", "false"]

# The variable with the number of the signal, which a resume does not get.
SIGNAL = "SAME_BITS_SIGNAL"

# Digests by the name of what a run leaves.
Digests = dict[str, str]


class Interruption(Callback):
    """Sends its process a signal within the second epoch."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if SIGNAL in os.environ and (trainer.current_epoch, batch_idx) == (1, 12):
            os.kill(os.getpid(), int(os.environ[SIGNAL]))


@cache
def train(subject: str, way: str) -> Digests:
    """Train in an empty folder; of a run that was resumed, tell whether it equals a plain one."""
    options = [*SUBJECTS[subject], "--epochs", "2", "--threads", "1", *WAYS[way]]
    if subject == "module" and way == "in two processes":
        options += SHARED
    with TemporaryDirectory() as folder:
        fit(folder, options, SIGNALS.get(way))
        if way in RESUMED:
            fit(folder, ["--resume", "--trainer.max_epochs", "2"])
        ended = digests_of(Path(folder, "lightning_logs", "run"))
    if way in RESUMED:
        names = differing(train(subject, "plain"), ended)
        ended["equals plain"] = f"no: {', '.join(names)}" if names else "yes"
    return ended


def fit(folder: str, options: list[str], number: int | None = None) -> None:
    """Train the run of a folder, or until a signal within its second epoch."""
    paths = [str(REPOSITORY / "src"), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if number:
        environment[SIGNAL] = str(int(number))
    command = [sys.executable, "-m", "convblocks", "fit", "--name", "run", *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    expected = (128 + number, -number) if number else (0,)
    if done.returncode not in expected:
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")


def digests_of(run: Path) -> Digests:
    """What a run directory holds, without times; ``best`` and ``mistakes`` only if it has them."""
    best, mistakes = run / "checkpoints" / "best.ckpt", run / "mistakes.csv"
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    parts = {"weights": last["state_dict"], "optimizers": last["optimizer_states"]}
    if best.is_file():
        parts["best weights"] = torch.load(best, weights_only=True)["state_dict"]
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    parts |= {f"column {name}": [row[name] for row in rows] for name in rows[0]}
    final = json.loads((run / "summary.json").read_text())["final"]
    parts |= {f"final {name}": value for name, value in final.items()}
    if mistakes.is_file():
        parts["mistakes"] = mistakes.read_text()
    return {name: digest(part) for name, part in parts.items() if "seconds" not in name}


def digest(value: Any) -> str:
    hashed = hashlib.sha256()
    for part in bytes_of(value):
        hashed.update(part)
    return hashed.hexdigest()[:16]


def bytes_of(value: Any) -> Iterator[bytes]:
    """All that decides whether tensors, plain values, lists and dictionaries of them are equal."""
    match value:
        case torch.Tensor():
            yield f"{value.dtype} {tuple(value.shape)}".encode()
            yield value.reshape(-1).view(torch.uint8).numpy().tobytes()
        case dict():
            yield from bytes_of(list(value.items()))
        case list() | tuple():
            yield f"{len(value)} parts".encode()
            for part in value:
                yield from bytes_of(part)
        case _:
            yield f"{value!r},".encode()


def differing(left: Digests, right: Digests) -> list[str]:
    """The names of what differs, or is in one of them only."""
    return [name for name in left | right if left.get(name) != right.get(name)]


def train_all(out: Path, only: str) -> None:
    """Train kind after kind, and write the digests of all."""
    ends: dict[str, Digests] = {}
    for kind, (subject, way) in KINDS.items():
        if only not in kind:
            continue
        began = time.perf_counter()
        ends[kind] = train(subject, way)
        equals = ends[kind].get("equals plain")
        exact = f", equals plain: {equals}" if equals else ""
        print(f"{kind}: {time.perf_counter() - began:.1f} s{exact}", flush=True)
    out.write_text(json.dumps(ends, indent=1) + "\n")


def compare(left: dict[str, Digests], right: dict[str, Digests], only: str) -> bool:
    """Print a line for each kind of either; returns whether there are any and all are the same."""
    kinds = [kind for kind in left | right if only in kind]
    changed = 0
    for kind in kinds:
        names = differing(left.get(kind, {}), right.get(kind, {}))
        changed += bool(names)
        print(f"{kind}: {'differs in ' + ', '.join(names) if names else 'same'}")
    print(f"{len(kinds) - changed} of {len(kinds)} kinds are the same")
    return bool(kinds) and not changed


def main() -> None:
    parser = ArgumentParser(prog="python -m tests.same_bits")
    parser.add_argument("command", choices=["train", "compare"])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if len(options.files) != (1 if options.command == "train" else 2):
        parser.error("train writes one file, and compare reads two")
    if options.command == "train":
        train_all(options.files[0], options.only)
        return
    left, right = (json.loads(path.read_text()) for path in options.files)
    sys.exit(not compare(left, right, options.only))


if __name__ == "__main__":
    main()
