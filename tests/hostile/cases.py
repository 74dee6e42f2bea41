"""The hostile cases: damage to files, a command line, and the line that it must end in.

In the folder of each case lie ``lightning_logs/run``, a finished run of two short epochs with a validation split,
``data``, a small data set of real digits on which it was trained, ``seven.png``, a picture of a digit, and ``shapes``,
a folder of pictures in colour, 40 to train on and 20 to test, of 16 x 16 pixels, without a run.

Wrong options are in the tests of their command.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from tests.hostile.spoil import Spoiler, a_copy_of, a_folder, checkpoint_with, cut, flipped, holds, removed, with_values

RUN = "lightning_logs/run"
LAST, PREVIOUS, BEST = (f"{RUN}/checkpoints/{name}.ckpt" for name in ("last", "previous-last", "best"))
SUMMARY, CONFIG, METRICS = (f"{RUN}/{name}" for name in ("summary.json", "config.yaml", "metrics.csv"))
IMAGES, LABELS, TEST_IMAGES = (
    f"data/{name}" for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte")
)

NEW = "--config short.yaml --arch mlp --name new"
AGAIN = "--name run --resume --epochs 3"
SHAPES = f"fit {NEW} --data.root shapes --data.val_size 0 --batch_size 8"
COMPARE = "compare --config short.yaml --arch mlp --seeds 2 --jobs 1"

WITHOUT_A_BIAS = checkpoint_with({"state_dict/network.layers.1.bias": ...})

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

# Moves the cursor and clears the screen of a terminal.
ESCAPE = "\x1b[2J"


@dataclass(frozen=True)
class Case:
    """One hostile case.

    Args:
        command: A script and its arguments, as they are typed.
        says: What the one line on standard error says, a regular expression; with status 0, what is printed.
        status: The exit status.
        files: What is done to which file before.
        trains: Whether the run goes on before that comes.
    """

    command: str
    says: str
    status: int = 1
    files: Mapping[str, Spoiler] = field(default_factory=dict)
    trains: bool = False

    def __str__(self) -> str:
        return " ".join([self.command, *self.files])[:120]


RUN_DIRECTORIES = [
    # A damaged summary is rewritten from the checkpoint.
    Case("fit --name run --resume", r"test accuracy .* %, loss .*, 2 epochs in ", 0, {SUMMARY: cut(50)}),
    # The settings of a run are known from nowhere else.
    *(
        Case(f"fit {AGAIN}", f"{CONFIG}.*damaged.*restore it", 1, {CONFIG: spoiler})
        for spoiler in (cut(0), holds(bytes(range(256))), with_values({"trainer": ...}))
    ),
    Case(f"fit {AGAIN}", "cannot be resumed: it has no config.yaml", 2, {CONFIG: removed}),
    Case(f"fit {AGAIN}", "--trainer.nosuch", 2, {CONFIG: with_values({"trainer/nosuch": 1})}),
    Case(f"fit {AGAIN}", "with data.val_size=50, not 40", 1, {CONFIG: with_values({"data/init_args/val_size": 40})}),
    Case("fit --name nosuch --resume", "there is no run lightning_logs/nosuch", 2),
    Case("fit --name run --arch mlp", "exists: carry on with --resume", 2),
    # Of two checkpoints one is enough; both are named where neither is.
    *(
        Case(f"fit {AGAIN}", "last.ckpt is missing or damaged: carrying on from previous-last.ckpt", 0, {LAST: spoiler})
        for spoiler in (removed, cut(-1), flipped(-400), checkpoint_with({"loops": ...}))
    ),
    Case(
        f"fit {AGAIN}",
        "last.ckpt: .* damaged.*previous-last.ckpt: .*delete",
        1,
        dict.fromkeys((LAST, PREVIOUS), cut(9)),
    ),
    Case(f"fit {AGAIN}", r"\n1/3 ", 0, {LAST: removed, PREVIOUS: removed}),
    Case(f"fit {AGAIN}", "Missing key.*network.layers.1.bias", 1, {LAST: WITHOUT_A_BIAS}),
    Case(
        f"fit {AGAIN}",
        "cannot resume from .*last.ckpt.*not of its parameter's shape",
        1,
        {LAST: checkpoint_with({"optimizer_states/0/state/0/exp_avg": torch.zeros(2, 2)})},
    ),
    Case(
        f"fit {AGAIN}",
        "last.ckpt is of a run with seed=5, not 0: put the right one",
        1,
        {LAST: checkpoint_with({"callbacks/RunSettings/settings/seed": 5})},
    ),
    Case("fit --name run --resume", "not hold the weights of this run", 1, {SUMMARY: removed, BEST: WITHOUT_A_BIAS}),
    Case(f"fit {AGAIN}", "metrics.csv .Is a directory", 1, {METRICS: a_folder}, trains=True),
    Case(f"fit {AGAIN}", r"\n3/3 ", 0, {METRICS: holds("nonsense")}),
    Case(f"fit {NEW}", "lightning_logs.*[Nn]ot a directory|exists", 1, {"lightning_logs": holds("")}),
    Case(f"fit --config short.yaml --arch mlp --name {'n' * 256}", "n+: File name too long"),
    Case("compare --name run --config short.yaml --arch mlp --seeds 1", "lightning_logs/run is a single run", 2),
]

DATA = [
    Case(f"fit {NEW}", f"{IMAGES} is damaged.*IDX file", 1, {IMAGES: cut(0)}),
    Case(f"fit {NEW}", "100 labels", 1, {LABELS: a_copy_of("t10k-labels-idx1-ubyte")}),
    Case(f"fit {NEW}", "lacks train-images", 1, {IMAGES: removed}),
    Case(f"fit {AGAIN}", "was begun with another train-images-idx3-ubyte", 1, {IMAGES: flipped(5000)}),
    Case(f"fit {AGAIN} --data.root moved", r"\n3/3 ", 0, {"moved": a_copy_of("data"), "data": removed}),
    Case(f"fit {AGAIN}", "there is no folder data: --data.root must name", 1, {"data": removed}),
    Case(f"{COMPARE} --data.root nosuch", "there is no folder nosuch"),
    Case(f"evaluate {LAST} --data.root data", f"{TEST_IMAGES} is damaged.*fewer bytes", 1, {TEST_IMAGES: cut(-1)}),
    Case(f"evaluate {LAST} --data.root shapes", "was trained on|classes|pixels"),
    Case(SHAPES, "test accuracy", 0, {"shapes/.pictures.pt": holds("no pictures")}),
    Case(SHAPES, "square/1.png: it cannot be read", 1, {"shapes/train/square/1.png": cut(200)}),
    Case(f"{SHAPES} --data.size 6 6 --arch maxpool", "8 x 8 are needed", 2),
    Case(f"fit {NEW} --data.root '{ESCAPE}'", r"there is no folder \\x1b\[2J"),
]

CHECKPOINTS = [
    *(
        Case(f"evaluate {LAST} --data.root data", says, 1, {LAST: spoiler})
        for spoiler, says in (
            (removed, "there is no checkpoint"),
            (flipped(-400), "it is damaged"),
            (WITHOUT_A_BIAS, "does not hold the weights of the network mlp"),
            (checkpoint_with({"hyper_parameters/image_spec": ...}), "is not a checkpoint of this version"),
            (checkpoint_with({"hyper_parameters/arch": "os.system"}), "of the class 'os.system'"),
            (checkpoint_with({"hyper_parameters/arch": f"a{ESCAPE}.B"}), r"of the class 'a\\x1b\[2J.B'"),
            (checkpoint_with({"state_dict/network.layers.1.bias": torch.full((100,), torch.nan)}), "are not finite"),
        )
    ),
    *(
        Case(f"{command} {LAST} {rest}", "it is damaged", 1, {LAST: cut(1000)})
        for command, rest in (("predict", "seven.png"), ("export", ""), ("demo", "--port 0"))
    ),
]

PICTURES = [
    Case(f"predict {LAST} seven.png", "seven.png", 0),
    Case(f"predict {LAST} '[red]seven.png'", r"\[red\]seven.png", 0, {"[red]seven.png": a_copy_of("seven.png")}),
    Case(f"predict {LAST} '{ESCAPE}.png'", r"\\x1b\[2J.png", 0, {f"{ESCAPE}.png": a_copy_of("seven.png")}),
    Case(f"predict {LAST} 'a\nb.png'", r"a\\nb.png: .*No such file"),
    Case(f"predict {LAST} seven.png", "not a picture of a known format", 1, {"seven.png": holds("")}),
    Case(f"predict {LAST} empty", "there are no pictures in the folder empty", 1, {"empty": a_folder}),
    Case(f"predict {LAST} seven.png --show nosuch/seen.png", "nosuch/seen.png: No such file"),
    Case(f"predict {LAST} seven.png --show seen.nosuch", "must end in the suffix of a picture format"),
    Case(f"predict {LAST} seven.png --show ./seven.png", "seven.png is read by this command", 2),
]

OWN_MODULES = [
    Case(f"fit {NEW} --arch own.Network", "too little memory .*--batch_size", 2, {"own.py": TOO_LARGE}, trains=True),
    Case(f"fit {NEW} --arch own.A", r"its module calls sys.exit\(0\)", 2, {"own.py": holds("import sys; sys.exit(0)")}),
    Case(f"fit {NEW} --arch own.A", "No module named 'nosuchpackage'", 2, {"own.py": holds("import nosuchpackage")}),
]

CASES = [*RUN_DIRECTORIES, *DATA, *CHECKPOINTS, *PICTURES, *OWN_MODULES]
