"""Whatever is wrong ends in one line that names the file or option, and costs nothing
that was finished.

In the folder of each case lie ``lightning_logs/run``, a finished run of two short
epochs with a validation split, ``data``, a small data set of real digits on which it
was trained, and ``seven.png``, a picture of a digit.

Wrong options are in the tests of their command.
"""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.hostile.spoil import (
    Spoiler,
    a_copy_of,
    a_pipe,
    checkpoint_with,
    cut,
    flipped,
    holds,
    removed,
    with_a_damaged_list,
    with_values,
)
from tests.scripts import run_script

RUN = "lightning_logs/run"
LAST, BEST = (f"{RUN}/checkpoints/{name}.ckpt" for name in ("last", "best"))
SUMMARY, CONFIG, METRICS = (
    f"{RUN}/{name}" for name in ("summary.json", "config.yaml", "metrics.csv")
)
IMAGES = "data/train-images-idx3-ubyte"

NEW = "--config short.yaml --arch mlp --name new"
AGAIN = "--name run --resume --epochs 3"

WITHOUT_A_BIAS = checkpoint_with({"state_dict/network.layers.1.bias": ...})
WITH_ANOTHER_BIAS = checkpoint_with({"state_dict/network.layers.1.bias": torch.zeros(100)})

TOO_LARGE = holds("""
import torch
from torch import nn

class Network(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
    def forward(self, images):
        if self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(images)
""")

# Wider than a terminal.
LONG_NAME = f"{'x' * 200}.png"

# Moves the cursor and clears the screen of a terminal.
ESCAPE = "\x1b[2J"


def case(
    command: str, says: str, status: int = 1, files: Mapping[str, Spoiler] | None = None
) -> Any:
    """A command line, as it is typed, after something was done to files.

    ``says`` is a regular expression of what the one line on standard error says; with
    status 0, of what is printed.
    """
    marks = [pytest.mark.slow] if status == 0 else []
    return pytest.param(
        command,
        says,
        status,
        files or {},
        id=" ".join([command, *(files or ())])[:120],
        marks=marks,
    )


RUN_DIRECTORIES = [
    # A damaged summary is rewritten from the checkpoint.
    case(
        "fit --name run --resume",
        r"test accuracy .* %, loss .*, 2 epochs in ",
        0,
        {SUMMARY: cut(50)},
    ),
    # The settings of a run are known from nowhere else.
    case(
        f"fit {AGAIN}", f"{CONFIG}.*damaged.*restore it", 1, {CONFIG: with_values({"trainer": ...})}
    ),
    case(f"fit {AGAIN}", "cannot be resumed: it has no config.yaml", 2, {CONFIG: removed}),
    case(f"fit {AGAIN}", "was begun with seed=0, not 1", 2, {CONFIG: with_values({"seed": 1})}),
    case(f"fit {AGAIN}", "it is a pipe or a device, not a file", 1, {LAST: a_pipe}),
    case(f"fit {AGAIN}", "--trainer.nosuch", 2, {CONFIG: with_values({"trainer/nosuch": 1})}),
    case("fit --name nosuch --resume", "there is no run lightning_logs/nosuch", 2),
    *(
        case(
            f"fit {AGAIN}",
            "last.ckpt.*Put a copy of that file back, or delete it to start",
            1,
            {LAST: spoiler},
        )
        for spoiler in (
            cut(-1),
            flipped(-400),
            checkpoint_with({"loops": ...}),
            checkpoint_with({"state_dict": ...}),
        )
    ),
    case(f"fit {AGAIN}", r"\n1/3 ", 0, {LAST: removed}),
    case(f"fit {AGAIN}", "Missing key.*network.layers.1.bias", 1, {LAST: WITHOUT_A_BIAS}),
    case(
        f"fit {AGAIN}",
        "cannot resume from .*last.ckpt.*not of its parameter's shape",
        1,
        {LAST: checkpoint_with({"optimizer_states/0/state/0/exp_avg": torch.zeros(2, 2)})},
    ),
    *(
        case(
            "fit --name run --resume",
            "best.ckpt is not the best checkpoint of this run",
            1,
            {SUMMARY: removed, BEST: spoiler},
        )
        for spoiler in (WITHOUT_A_BIAS, WITH_ANOTHER_BIAS)
    ),
    case(
        "fit --name run --resume",
        "best.ckpt: it is damaged",
        1,
        {SUMMARY: removed, BEST: with_a_damaged_list},
    ),
    *(
        case(
            "fit --name run --resume", "best.ckpt is missing", 1, {SUMMARY: removed, BEST: spoiler}
        )
        for spoiler in (a_pipe, removed)
    ),
    # Another checkpoint in the place of the last one, beside a best one of later on.
    case(
        f"fit {AGAIN}",
        "best.ckpt is not the best checkpoint of this run",
        1,
        {LAST: checkpoint_with({"exact_resume_save": ...}), BEST: WITH_ANOTHER_BIAS},
    ),
    case(f"fit {AGAIN}", r"\n3/3 ", 0, {METRICS: holds("nonsense")}),
    case(
        f"fit {NEW}", "lightning_logs.*[Nn]ot a directory|exists", 1, {"lightning_logs": holds("")}
    ),
    case(
        "compare --name run --config short.yaml --arch mlp --seeds 1",
        "lightning_logs/run is a single run",
        2,
    ),
]

DATA = [
    case(
        f"fit {AGAIN}", "was begun with another train-images-idx3-ubyte", 1, {IMAGES: flipped(5000)}
    ),
    case(
        f"fit {AGAIN} --data.root moved",
        r"\n3/3 ",
        0,
        {"moved": a_copy_of("data"), "data": removed},
    ),
    case(f"fit {AGAIN}", "there is no folder data: --data.root must name", 1, {"data": removed}),
]

CHECKPOINTS = [
    case(f"evaluate {LAST} --data.root data", says, 1, {LAST: spoiler})
    for spoiler, says in (
        (removed, "is neither a run with a checkpoint nor a checkpoint in one"),
        (flipped(-400), "it is damaged"),
        (WITHOUT_A_BIAS, "does not hold the weights of the network mlp"),
        (
            checkpoint_with({"hyper_parameters/image_spec": ...}),
            "is not a checkpoint of this version",
        ),
        (checkpoint_with({"hyper_parameters/arch": "os.system"}), "of the class 'os.system'"),
        (checkpoint_with({"hyper_parameters/network": "x"}), "is not a checkpoint of this version"),
        (
            checkpoint_with({"state_dict/network.layers.1.bias": torch.full((100,), torch.nan)}),
            "are not finite",
        ),
    )
]

PICTURES = [
    case(f"predict {LAST} seven.png", "seven.png", 0),
    case(f"predict {LAST} {LONG_NAME}", LONG_NAME, 0, {LONG_NAME: a_copy_of("seven.png")}),
    case(
        f"predict {LAST} '{ESCAPE}.png'",
        r"\\x1b\[2J.png",
        0,
        {f"{ESCAPE}.png": a_copy_of("seven.png")},
    ),
    case(f"predict {LAST} seven.png --show nosuch/seen.png", "nosuch/seen.png: No such file"),
    case(f"predict {LAST} seven.png --show ./seven.png", "this command reads seven.png", 2),
]

OWN_MODULES = [
    case(
        f"fit {NEW} --arch own.Network",
        "too little memory .*--batch_size",
        2,
        {"own.py": TOO_LARGE},
    )
]


@pytest.mark.parametrize(
    ("command", "says", "status", "files"),
    [*RUN_DIRECTORIES, *DATA, *CHECKPOINTS, *PICTURES, *OWN_MODULES],
)
def test_hostile_case_ends_in_one_line(
    command: str, says: str, status: int, files: Mapping[str, Spoiler], folder: Path
) -> None:
    for name, spoil in files.items():
        spoil(folder / name)
    before = checkpoints(folder)
    script, *arguments = shlex.split(command)
    ended = run_script(script, *arguments, cwd=folder)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.returncode == status, ended
    output = ended.stdout if status == 0 else ended.stderr
    assert re.search(says, output), output
    if status == 0:
        assert ended.stderr == ""
        return
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"{script}.py: ")
    assert checkpoints(folder) == before


def checkpoints(folder: Path) -> dict[str, bytes]:
    """The content of the run's checkpoints, by name."""
    return {
        path.name: path.read_bytes()
        for path in (folder / LAST).parent.glob("*.ckpt")
        if path.is_file()
    }
