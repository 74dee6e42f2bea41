"""usage: python -m benchmarks.nets REVISION [--only PART,...]

Say whether a change leaves as it was what it should not alter: the code of a revision and that of this folder, with
what is not committed, do the same on this machine, and what comes out is compared byte by byte. It takes some eight
minutes; leave the files alone meanwhile.

  --only PART,...      pages: what docs/pages.py writes; help: what scripts print of their options; runs: weights and
                       metrics.csv, but for times, of short runs of each network (default: pages,help,runs)

Example:
  python -m benchmarks.nets HEAD --only help,runs
"""

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import unified_diff
from functools import partial
from hashlib import sha256
from pathlib import Path
from signal import SIGKILL
from tempfile import TemporaryDirectory

import torch

from convblocks.command_line import Parser
from convblocks.console import answer
from convblocks.errors import UsageError, UserError

REPOSITORY = Path(__file__).resolve().parents[1]

NETWORKS = ("mlp", "maxpool", "batchnorm")

# Of all runs: 12 batches an epoch, and evaluations on 400 images.
SHORT = ["--epochs", "3", "--threads", "1", "--trainer.accelerator", "cpu", "--trainer.limit_train_batches", "12"]
SHORT += ["--data.eval_batch_size", "200", "--trainer.limit_val_batches", "2", "--trainer.limit_test_batches", "2"]
SHORT += ["--running_loss", "--trainer.log_every_n_steps", "4"]

KILLED = "killed"

CASES = {
    "plain": [],
    "val_size": ["--data.val_size", "5000"],
    "augmented": ["--data.shift", "2", "--data.rotation", "10"],
    "accumulated": ["--trainer.accumulate_grad_batches", "2"],
    "two_processes": ["--trainer.devices", "2"],
    KILLED: [],
}

# With --running_loss: a checkpoint is there, and an epoch and more are still to come.
SECOND_EPOCH = b"epoch 2 "

TIMES = ("seconds", "images_per_second")

# Lines of a diff that are shown.
SHOWN = 40

# What came out, by name; and what makes it from a tree of the code, in an empty folder.
Results = dict[str, bytes]
Make = Callable[[Path, Path], Results]


def main(arguments: list[str]) -> None:
    """Compare, and print what differs.

    Raises:
        UsageError: a part that there is not.
        UserError: there is no such revision, a command failed, or something is not as before.
    """
    parser = Parser()
    parser.add_argument("revision")
    parser.add_argument("--only", default=",".join(PARTS))
    options = parser.parse_args(arguments)
    parts = options.only.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise UsageError(f"--only takes {', '.join(PARTS)}, not {', '.join(unknown)}")
    with TemporaryDirectory() as folder, tree_of(options.revision, Path(folder) / "tree") as before:
        makes = [(name, make) for part in parts for name, make in PARTS[part].items()]
        differing = [name for name, make in makes if differs(name, make, before, Path(folder))]
    if differing:
        raise UserError(f"not as in {options.revision}: {', '.join(differing)}")
    print(f"All is as in {options.revision}: {', '.join(parts)}.")


@contextmanager
def tree_of(revision: str, path: Path) -> Iterator[Path]:
    """The files of a revision, in a folder that is removed in the end."""
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    added = subprocess.run([*git, "add", "--detach", str(path), revision], capture_output=True, text=True, check=False)
    if added.returncode:
        raise UserError(f"cannot take {revision} out of git: {added.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run([*git, "remove", "--force", str(path)], check=True)


def differs(name: str, make: Make, before: Path, folder: Path) -> bool:
    """Make something from both trees, and print how far it is the same."""
    made: list[Results] = []
    for label, tree in (("before", before), ("now", REPOSITORY)):
        own = folder / label / name
        own.mkdir(parents=True)
        made.append(make(tree, own))
    old, new = made
    differing = [one for one in sorted(old | new) if old.get(one) != new.get(one)]
    told = [f"{one} {'differ' if one in differing else 'same'} {_hash(new[one])}" for one in new]
    if len(told) > 2:
        told = [f"{len(old | new)} compared, {len(differing)} differ"]
    print(f"{name:<24}{'   '.join(told)}", flush=True)
    for one in differing:
        print("\n".join(difference(one, old.get(one), new.get(one))), flush=True)
    return bool(differing)


def difference(name: str, old: bytes | None, new: bytes | None) -> list[str]:
    """The lines that tell how two contents differ, of which None is one that is not there."""
    if old is None or new is None:
        return [f"{name} is {'new' if old is None else 'gone'}"]
    try:
        before, now = old.decode().splitlines(), new.decode().splitlines()
    except UnicodeDecodeError:
        return [f"{name} differs"]
    lines = list(unified_diff(before, now, f"{name} before", f"{name} now", lineterm="", n=1))
    return [*lines[:SHOWN], *([f"... and {len(lines) - SHOWN} more lines"] if lines[SHOWN:] else [])]


def pages(tree: Path, folder: Path) -> Results:
    """Every file that docs/pages.py writes."""
    _call(tree, folder, "docs/pages.py", "--out", "out")
    out = folder / "out"
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def helps(tree: Path, folder: Path) -> Results:
    """What scripts print of their options."""
    commands = [(f"scripts/{path.name}", "--help") for path in sorted((tree / "scripts").glob("*.py"))]
    commands.append(("scripts/fit.py", "--help_all"))
    return {" ".join(command): _call(tree, folder, *command) for command in commands}


def run(arch: str, case: str, tree: Path, folder: Path) -> Results:
    """The weights that a run ends with, a line for each tensor, and its metrics.csv without times."""
    command = ["scripts/fit.py", "--arch", arch, "--name", case, *SHORT, *CASES[case]]
    if case == KILLED:
        _kill(tree, folder, *command)
        command.append("--resume")
    _call(tree, folder, *command)
    own = folder / "lightning_logs" / case
    weights = torch.load(own / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")["state_dict"]
    contents = {name: one.reshape(-1).view(torch.uint8).numpy().tobytes() for name, one in weights.items()}
    lines = [f"{name} {one.dtype} {list(one.shape)} {_hash(contents[name])}" for name, one in weights.items()]
    with (own / "metrics.csv").open(newline="") as file:
        rows = [{name: value for name, value in row.items() if name not in TIMES} for row in csv.DictReader(file)]
    metrics = [",".join(values) for values in [rows[0], *(row.values() for row in rows)]]
    return {"weights": "\n".join(lines).encode(), "metrics": "\n".join(metrics).encode()}


PARTS: dict[str, dict[str, Make]] = {
    "pages": {"pages": pages},
    "help": {"help": helps},
    "runs": {f"{arch}-{case}": partial(run, arch, case) for arch in NETWORKS for case in CASES},
}


def _call(tree: Path, folder: Path, *command: str) -> bytes:
    """What a script of a tree prints."""
    with _start(tree, folder, *command) as process:
        printed, _ = process.communicate()
    if process.returncode:
        raise UserError(f"{' '.join(command)} failed, with the code in {tree}: {printed.decode().strip()}")
    return printed


def _kill(tree: Path, folder: Path, *command: str) -> None:
    """Start a run, and kill it when its second epoch has begun."""
    with _start(tree, folder, *command) as process:
        for line in process.stdout or ():
            if line.startswith(SECOND_EPOCH):
                process.kill()
    if process.returncode != -SIGKILL:
        raise UserError(f"{' '.join(command)} ended before it was killed, with the code in {tree}")


def _start(tree: Path, folder: Path, script: str, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(tree / script), *arguments]
    environment = os.environ | {"PYTHONPATH": f"{tree / 'src'}{os.pathsep}{tree}"}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]


if __name__ == "__main__":
    sys.exit(answer(main, __doc__))
