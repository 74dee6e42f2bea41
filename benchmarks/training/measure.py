"""Measurements of training: its ways, the operators of a step, and whole commands."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from torch.profiler import ProfilerActivity, profile

from benchmarks.rows import Row
from benchmarks.training.ways import WARM_UP_STEPS, WAYS, BareLoop, Case
from convblocks.errors import UserError
from convblocks.training.fast_network import speed_up_network

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"

# The imports of every Lightning project on MNIST.
IMPORTS = "import lightning, torchvision"

PROFILED_STEPS = 30

# The runs that are trained side by side or one after the other, and the epochs of each.
COMPARED_RUNS = 4
COMPARED_EPOCHS = {"mlp": 5, "batchnorm": 1}


def epoch(case: Case) -> list[Row]:
    """The seconds of an epoch and, in bytes, by how much this process grew at most."""
    before = _peak_memory()
    values = WAYS[case.variant](case)
    return [Row({}, values | {"memory": _peak_memory() - before})]


def _peak_memory() -> int:
    """The largest size that this process has had, in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024  # bytes on macOS, kilobytes on Linux


def operators(case: Case) -> list[Row]:
    """Microseconds a step that each operator takes by itself, without those that it calls, on inputs of one shape.

    In the bare loop, with the network as ``fit`` runs it.
    """
    loop = BareLoop(case)
    speed_up_network(loop.network)
    loop.train(WARM_UP_STEPS)
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiled:
        loop.train(PROFILED_STEPS)
    return [
        Row(
            {
                "operator": event.key.removeprefix("aten::"),
                "shape": "x".join(map(str, event.input_shapes[0])) if event.input_shapes else "",
            },
            {"microseconds": event.self_cpu_time_total / PROFILED_STEPS},
        )
        for event in profiled.key_averages(group_by_input_shape=True)
    ]


def command(name: str, arch: str, threads: int, steps: int | None) -> Iterator[Row]:
    """How long one of the commands takes.

    Raises:
        UserError: it failed.
    """
    limits = [f"--trainer.limit_{split}_batches={steps}" for split in ("train", "val") if steps is not None]
    compared = ["--arch", arch, "--seeds", str(COMPARED_RUNS), "--epochs", str(COMPARED_EPOCHS.get(arch))]
    fit = ["--arch", arch, "--epochs", "1", "--threads", str(threads)]
    first = ["--trainer.limit_train_batches", "1", "--running_loss", "--trainer.log_every_n_steps", "1"]
    commands = {
        "imports": ["-c", IMPORTS],
        "first step": [str(SCRIPTS / "fit.py"), *fit, *first],
        "one epoch": [str(SCRIPTS / "fit.py"), *fit, *limits],
        "side by side": [str(SCRIPTS / "compare.py"), *compared, "--jobs", str(threads), "--threads", "1", *limits],
        "one by one": [str(SCRIPTS / "compare.py"), *compared, "--jobs", "1", "--threads", str(threads), *limits],
    }
    yield Row({}, {"seconds": seconds_of(commands[name], until="batch 1/1" if name == "first step" else "")})


def seconds_of(command: list[str], until: str) -> float:
    """From the start of a Python command to the last line that holds a text, or to its end.

    Raises:
        UserError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        with process as run:
            assert run.stdout is not None
            lines = []
            for line in run.stdout:
                lines.append(line)
                if until and until in line:
                    seconds = time.perf_counter() - began
        if run.returncode != 0:
            raise UserError(f"{' '.join(command)} ended with status {run.returncode}:\n{''.join(lines)}")
        return seconds if until else time.perf_counter() - began
