"""The hostile cases: damage to files, a command line, and the line that it must end in.

In the folder of each case lie ``lightning_logs/run``, a finished run of two short epochs with a validation split,
``data``, a small data set of real digits on which it was trained, ``seven.png``, a picture of a digit, and ``shapes``,
a folder of pictures in colour, 40 to train on and 20 to test, of 16 x 16 pixels, without a run.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.hostile.spoil import (
    Spoiler,
    a_copy_of,
    a_file,
    a_folder,
    a_link_to,
    a_picture,
    checkpoint_with,
    cut,
    flipped,
    holds,
    long,
    removed,
    with_values,
)


def each(make: Callable[[Any], Spoiler], values: Iterable[Any]) -> list[Spoiler]:
    """A spoiler for each value."""
    return [make(value) for value in values]


NAN = float("nan")

RUN = "lightning_logs/run"
LAST, BEST = (f"{RUN}/checkpoints/{name}.ckpt" for name in ("last", "best"))
SUMMARY, CONFIG, METRICS, PROVENANCE = (
    f"{RUN}/{name}" for name in ("summary.json", "config.yaml", "metrics.csv", "provenance.json")
)
IMAGES, LABELS = "data/train-images-idx3-ubyte", "data/train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "data/t10k-images-idx3-ubyte", "data/t10k-labels-idx1-ubyte"

NEW = "--config short.yaml --arch mlp --name new"
AGAIN = "--name run --resume --epochs 3"
WRONG = "fit --config short.yaml --config wrong.yaml"

OF_SEED_5 = checkpoint_with({"callbacks/RunSettings/settings/seed": 5})
WITHOUT_A_BIAS = checkpoint_with({"state_dict/network.layers.1.bias": ...})


# A module of a user's own, with what may go wrong in one.
OWN = holds(
    """
import sys, torch
from lightning import LightningModule
from torch import nn

class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))

class Module(LightningModule):
    def __init__(self):
        super().__init__()
        self.flat = Flat()
    def forward(self, images):
        return self.flat(images)
    def training_step(self, batch):
        return self(batch[0]).mean()

class TooLarge(Flat):
    def forward(self, images):
        if self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return super().forward(images)

"""
)

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
        environment: Variables that are set.
        trains: Whether the run goes on before that comes.
        process: Whether it runs in a process of its own, in bounded memory, and not in that of the tests.
    """

    command: str
    says: str
    status: int = 1
    files: Mapping[str, Spoiler] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    trains: bool = False
    process: bool = False

    def __str__(self) -> str:
        return " ".join([self.command, *self.files, *self.environment])[:120]


def usage(command: str, says: str, **files: Spoiler) -> Case:
    """An invalid command line."""
    return Case(command, says, 2, files)


OPTIONS = [
    usage(f"fit {NEW} --lr -1", "Invalid learning rate: -1"),
    usage(f"fit {NEW} --lr nan", "--model.lr: Expected a <class 'float'>. Got value: nan"),
    usage(f"fit {NEW} --epochs 0", "--epochs must be at least 1"),
    usage(f"fit {NEW} --batch_size 1.5", "--data.batch_size: Expected a <class 'int'>. Got value: 1.5"),
    usage(f"fit {NEW} --batch_size 100000", "--batch_size 100000 is above"),
    usage(f"fit {NEW} --seed -1", "--seed must be in"),
    usage(f"fit {NEW} --threads 0", "--threads must be at least 1"),
    usage(f"fit {NEW} --threads 10000", "--threads must be at most 1,024"),
    usage(f"fit {NEW} --trainer.limit_train_batches 0", "limit_train_batches must be above 0"),
    usage(f"fit {NEW} --trainer.limit_test_batches 0", "limit_test_batches must be above 0"),
    Case(f"fit {NEW} --trainer.limit_train_batches 1e-7", "Try at least `limit_train_batches="),
    Case(f"fit {NEW} --trainer.limit_val_batches 1e-7", "Try at least `limit_val_batches="),
    usage(f"fit {NEW} --trainer.accumulate_grad_batches 0", "accumulate_grad_batches must be at least 1"),
    usage(f"fit {NEW} --trainer.gradient_clip_val -1", "gradient_clip_val must be at least 0"),
    usage(f"fit {NEW} --trainer.val_check_interval 0", "val_check_interval must be above 0"),
    usage(f"fit {NEW} --trainer.val_check_interval nan", "val_check_interval"),
    usage(f"fit {NEW} --trainer.check_val_every_n_epoch 0", "check_val_every_n_epoch must be at least 1"),
    usage(f"fit {NEW} --trainer.log_every_n_steps 0", "log_every_n_steps must be at least 1"),
    usage(f"fit {NEW} --trainer.devices -2", "devices"),
    usage(f"fit {NEW} --trainer.devices 0", "devices"),
    usage(f"fit {NEW} --trainer.precision 7", "--trainer.precision: .*bf16-mixed.*, not 7"),
    usage(f"fit {NEW} --trainer.max_time soon", "not a valid duration"),
    usage(f"fit {NEW} --trainer.accelerator nosuch", "nosuch"),
    usage(f"fit {NEW} --trainer.callbacks EarlyStopping", "required: monitor"),
    usage(f"fit {NEW} --trainer.callbacks nosuch.Callback", "No module named 'nosuch'"),
    usage(f"fit {NEW} --trainer.logger nosuch", "--trainer.logger: .*nosuch"),
    usage(f"fit {NEW} --trainer.nosuch 1", "unrecognized arguments: --trainer.nosuch"),
    Case(f"fit {NEW} --trainer.precision 16-true", "ended by divergence: the loss or a weight was not finite", 0),
    Case(f"fit {NEW} --trainer.callbacks LearningRateMonitor", "test accuracy", 0),
    usage(f"fit {NEW} --data.val_size -1", "val_size must not be negative"),
    usage(f"fit {NEW} --data.val_size 200", "above the 0 training images that --data.val_size 200 leaves"),
    usage("fit --config short.yaml --arch mlp --name ../out", "relative path"),
    usage("fit --config short.yaml --arch mlp --name /out", "relative path"),
    usage("fit --config short.yaml --arch mlp --name ''", "relative path"),
    Case(f"fit --config short.yaml --arch mlp --name {'n' * 256}", "n+: File name too long"),
    usage("fit --config short.yaml --arch mlp --name '\udcff'", "relative path"),
    Case("fit --config short.yaml --arch mlp --name null", "lightning_logs/null", 0, process=True),
    usage("fit --arch nosuch", "unknown architecture 'nosuch': choose one of mlp, .* or a class"),
    usage("fit --arch nosuch.Network", "No module named 'nosuch'"),
    usage("fit", "--arch is required"),
    usage("fit --config nosuch.yaml --arch mlp", "nosuch.yaml"),
    usage("fit --config torn.yaml --arch mlp", "torn.yaml|--config", **{"torn.yaml": holds("epochs: [1")}),
    usage("fit --config binary.yaml --arch mlp", "binary.yaml|--config", **{"binary.yaml": holds(bytes(range(256)))}),
    *(
        usage(f"{WRONG} --arch mlp", text.partition(":")[0], **{"wrong.yaml": holds(text)})
        for text in ("data: 3", "data: null", "data: []", "trainer: 5", "trainer:")
    ),
    usage(f"fit {NEW} --trainer.max_time 00:00:00:00", "max_time must be above 0"),
    usage("fit --resume", "--resume needs the --name"),
    usage("fit --name nosuch --resume", "there is no run lightning_logs/nosuch"),
    usage("fit --name run --arch mlp", "exists: carry on with --resume"),
    usage(f"compare --seeds 1{'0' * 30}", "at most 100,000 different seeds"),
    usage("compare --arch mlp --trainer.accelerator nosuch", "nosuch"),
    usage("compare --name ../out", "relative path"),
    usage("search --arch mlp", "a search chooses by validation data: give"),
    usage("search --arch mlp --data.val_size 50 --space space.yaml", "--space space.yaml: .*write OPTION=VALUES"),
    Case(f"demo {LAST} --port 70000", "give another --port", 1),
    usage(f"predict {LAST}", "required: pictures"),
]

RUN_DIRECTORIES = [
    # A damaged summary is rewritten from the checkpoint.
    *(
        Case(
            "fit --name run --resume",
            r"(?s) -> lightning_logs/run\n.*test accuracy .* %, loss .*, 2 epochs in ",
            0,
            {SUMMARY: spoiler},
        )
        for spoiler in (removed, cut(50), with_values({"final": ...}))
    ),
    # The settings of a run are known from nowhere else.
    *(
        Case(f"fit {AGAIN}", f"{CONFIG}.*damaged.*restore it", 1, {CONFIG: spoiler})
        for spoiler in (
            *each(cut, (0, 3)),
            *each(holds, (bytes(range(256)), "epochs: [1", "[1, 2]")),
            *each(with_values, ({"trainer": ...}, {"seed": ...})),
        )
    ),
    usage(f"fit {AGAIN}", "cannot be resumed: it has no config.yaml", **{CONFIG: removed}),
    usage(f"fit {AGAIN}", "cannot be resumed: it has no config.yaml", **{CONFIG: a_folder}),
    usage(
        f"fit {AGAIN}",
        "--model.lr: Expected a <class 'float'>",
        **{CONFIG: with_values({"model/init_args/lr": "fast"})},
    ),
    usage(f"fit {AGAIN}", "--trainer.nosuch|nosuch", **{CONFIG: with_values({"trainer/nosuch": 1})}),
    *(
        Case(f"fit {AGAIN}", "last.ckpt.*Put an intact copy there, or delete it", 1, {LAST: spoiler})
        for spoiler in (
            *(*each(cut, (0, 1000, -1)), flipped(-400), holds("no checkpoint")),
            *(checkpoint_with({part: ...}) for part in ("state_dict", "optimizer_states", "global_step", "loops")),
            checkpoint_with({"callbacks": {}}),
        )
    ),
    Case(f"fit {AGAIN}", "Missing key.*network.layers.1.bias", 1, {LAST: WITHOUT_A_BIAS}),
    Case(
        f"fit {AGAIN}",
        "size mismatch for network.layers.1.weight",
        1,
        {LAST: checkpoint_with({"state_dict/network.layers.1.weight": torch.zeros(3)})},
    ),
    Case(
        f"fit {AGAIN}",
        "cannot resume from .*last.ckpt.*not of its parameter's shape",
        1,
        {LAST: checkpoint_with({"optimizer_states/0/state/0/exp_avg": torch.zeros(2, 2)})},
    ),
    usage(f"fit {AGAIN}", "was begun with seed=5, not 0: resume it with its own settings", **{LAST: OF_SEED_5}),
    Case("fit --name run --resume", r"Missing key\(s\) in state_dict", 1, {SUMMARY: removed, BEST: WITHOUT_A_BIAS}),
    Case(f"fit {AGAIN}", r"\n1/3 ", 0, {LAST: removed}),
    Case(f"fit {AGAIN}", "metrics.csv .Is a directory", 1, {METRICS: a_folder}, trains=True),
    Case(f"fit {AGAIN}", "provenance.json .Is a directory", 1, {PROVENANCE: a_folder}),
    Case(f"fit {AGAIN}", r"\n3/3 ", 0, {METRICS: holds("nonsense")}),
    Case(f"fit {AGAIN}", r"\n3/3 ", 0, {PROVENANCE: holds('{"packages": 3}')}),
    Case(f"fit {AGAIN}", r"\n3/3 ", 0, {PROVENANCE: removed}, process=True),
    Case(f"fit {AGAIN}", f"{SUMMARY}.*[Dd]irectory", 1, {SUMMARY: a_folder}, trains=True, process=True),
    Case(f"fit {AGAIN}", "checkpoints.*([Dd]irectory|exists)", 1, {f"{RUN}/checkpoints": a_file}, trains=True),
    # What a run is on the way to become is in the way.
    Case(f"fit {NEW}", "lightning_logs/new: File exists", 1, {"lightning_logs/new": a_link_to("x")}),
    usage(f"fit {NEW}", "lightning_logs/new exists", **{"lightning_logs/new": holds("")}),
    Case("fit --config short.yaml --arch mlp --name in/run", "lightning_logs/in", 1, {"lightning_logs/in": holds("")}),
    Case(f"fit {NEW}", "lightning_logs.*[Nn]ot a directory|exists", 1, {"lightning_logs": a_file}),
]

DATA = [
    Case(f"fit {NEW}", f"{TEST_LABELS}.*damaged", 1, {TEST_LABELS: cut(50)}),
    Case(f"fit {NEW}", f"{IMAGES} is damaged.*IDX file", 1, {IMAGES: cut(0)}),
    Case(f"fit {NEW}", f"{IMAGES} is damaged.*IDX file", 1, {IMAGES: flipped(2)}),
    Case(f"fit {NEW}", f"{IMAGES} is damaged.*more bytes", 1, {IMAGES: long(3_000_000_000)}, process=True),
    Case(f"fit {NEW}", "damaged, or of another kind", 1, {IMAGES: flipped(4)}),
    Case(f"fit {NEW}", f"{IMAGES} is damaged, or of another kind", 1, {IMAGES: a_copy_of("train-labels-idx1-ubyte")}),
    Case(f"fit {NEW}", "100 labels", 1, {LABELS: a_copy_of("t10k-labels-idx1-ubyte")}),
    Case(f"fit {NEW}", "lacks train-images", 1, {IMAGES: removed}),
    Case(f"fit {NEW}", "lacks train-images", 1, {IMAGES: a_folder}),
    Case(f"fit {NEW} --data.root file", "there is no folder file: --data.root must", 1, {"file": holds("")}),
    Case(f"fit {AGAIN}", "was begun with another train-images-idx3-ubyte", 1, {IMAGES: flipped(5000)}),
    Case(f"fit {AGAIN}", "was begun with another t10k-images-idx3-ubyte", 1, {TEST_IMAGES: flipped(5000)}),
    Case(f"evaluate {LAST} --data.root data", f"{TEST_IMAGES} is damaged.*fewer bytes", 1, {TEST_IMAGES: cut(-1)}),
]

ON_SHAPES = f"fit {NEW} --data.root shapes --data.val_size 0 --batch_size 8"
DISC, SQUARE = "shapes/train/disc/0.png", "shapes/train/square/1.png"

FOLDERS = [
    Case(ON_SHAPES, "test accuracy", 0),
    Case(f"{ON_SHAPES} --data.size 12 20", "test accuracy", 0, {DISC: a_picture(5, 9)}),
    Case(ON_SHAPES, "shapes holds no data: .*pictures as train/<class>", 1, {"shapes/train": removed}),
    Case(f"{ON_SHAPES} --data.root shapes/train", "shapes/train holds no data: ", 1),
    Case(ON_SHAPES, "shapes/train needs folders of pictures .*has none", 1, {"shapes/train": a_folder}),
    Case(ON_SHAPES, "but has only square", 1, {"shapes/train/disc": removed}),
    Case(ON_SHAPES, "shapes/train/disc holds no pictures", 1, {"shapes/train/disc": a_folder}),
    Case(ON_SHAPES, "shapes/train/more holds no pictures", 1, {"shapes/train/more/notes.txt": holds("none")}),
    Case(ON_SHAPES, "shapes/test/circle: shapes/train has no such class", 1, {"shapes/test/circle": a_folder}),
    Case(ON_SHAPES, "shapes has no test images: .*--data.val_size", 1, {"shapes/test": a_folder}),
    Case(f"{ON_SHAPES} --data.val_size 10", "test accuracy", 0, {"shapes/test": removed}),
    Case(ON_SHAPES, f"{DISC} is 5 x 9: scale them with --data.size HEIGHT WIDTH", 1, {DISC: a_picture(5, 9)}),
    Case(ON_SHAPES, f"{SQUARE}: it cannot be read", 1, {SQUARE: cut(200)}),
    Case(ON_SHAPES, f"{SQUARE}: it cannot be read", 1, {SQUARE: flipped(-30)}),
    Case(ON_SHAPES, f"{SQUARE}: it is not a picture of a known format", 1, {SQUARE: holds("")}),
    Case(ON_SHAPES, r"\[red\].png: it is not a picture", 1, {"shapes/train/disc/[red].png": holds("")}),
    Case(ON_SHAPES, "link.png: No such file", 1, {"shapes/train/disc/link.png": a_link_to("nosuch")}),
    Case(ON_SHAPES, "test accuracy", 0, {"shapes/.pictures.pt": holds("no pictures")}),
    Case(ON_SHAPES, "test accuracy", 0, {"shapes/.pictures.pt": a_folder}),
    usage(f"{ON_SHAPES} --data.size 8", "--data.size: Expected a <class 'tuple'>"),
    usage(f"{ON_SHAPES} --data.size 8 wide", "--data.size: Expected a <class 'tuple'>"),
    usage(f"{ON_SHAPES} --data.val_size 40", "above the 0 training images that --data.val_size 40 leaves"),
    usage(f"{ON_SHAPES} --data.size 6 6 --arch maxpool", "8 x 8 are needed"),
    usage(f"fit {NEW} --data.size 28 28", "--data.size is for folders of pictures: data holds MNIST's files"),
    usage(f"{ON_SHAPES} --data.source nosuch.Source", "--data.source: .*No module named 'nosuch'"),
    Case(f"evaluate {LAST} --data.root shapes", "was trained on|classes|pixels"),
]

CHECKPOINTS = [
    *(
        Case(f"{command} lightning_logs/run/checkpoints/last.ckpt {rest}", says, 1, {LAST: spoiler})
        for command, rest in (("evaluate", ""), ("predict", "seven.png"), ("export", ""), ("demo", "--port 0"))
        for spoiler, says in (
            (removed, "there is no checkpoint"),
            (cut(1000), "it is damaged"),
            (flipped(-400), "it is damaged"),
            (holds(""), "it is damaged"),
            (WITHOUT_A_BIAS, "does not hold the weights of the network mlp"),
            (checkpoint_with({"state_dict/network.layers.1.bias": torch.zeros(7)}), "does not hold the weights"),
            (checkpoint_with({"hyper_parameters/image_spec": ...}), "is not a checkpoint of this version"),
            (checkpoint_with({"hyper_parameters/arch": 7}), "of the class '7'"),
            (checkpoint_with({"hyper_parameters/arch": "os.system"}), "of the class 'os.system'"),
            (checkpoint_with({"state_dict/network.layers.1.bias": torch.full((100,), NAN)}), "are not finite"),
        )
    ),
    Case(f"evaluate {LAST}/nosuch", "there is no checkpoint"),
    Case("evaluate /dev/zero", "there is no checkpoint", process=True),
    Case("evaluate lightning_logs", "there is no checkpoint"),
    usage(f"predict {LAST} seven.png --show ./seven.png", "seven.png is read by this command"),
    usage(f"predict {LAST} seven.png --show {LAST}", "last.ckpt is read by this command"),
    Case(f"export {LAST} --output nosuch/net", "nosuch/net.onnx: No such file", process=True),
]

PICTURES = [
    Case(f"predict {LAST} seven.png", "seven.png", 0),
    Case(f"predict {LAST} '[red]seven.png'", r"\[red\]seven.png", 0, {"[red]seven.png": a_copy_of("seven.png")}),
    Case(f"predict {LAST} '[/]seven.png'", r"\[/\]seven.png", 1, {"[": a_folder, "[/]seven.png": holds("")}),
    Case(f"predict {LAST} ':smile:.png'", ":smile:", 0, {":smile:.png": a_copy_of("seven.png")}),
    Case(f"predict {LAST} 'a\udcff.png' --show seen.png", "udcff", 0, {"a\udcff.png": a_copy_of("seven.png")}),
    Case(f"predict {LAST} seven.png", "it cannot be read", 1, {"seven.png": flipped(-30)}),
    Case(f"predict {LAST} seven.png", "it (cannot be read|is not a picture)", 1, {"seven.png": cut(100)}),
    Case(f"predict {LAST} seven.png", "not a picture of a known format", 1, {"seven.png": holds("")}),
    Case(f"predict {LAST} nosuch.png", "nosuch.png: .*No such file"),
    Case(f"predict {LAST} empty", "there are no pictures in the folder empty", 1, {"empty": a_folder}),
    Case(f"predict {LAST} seven.png --show nosuch/seen.png", "nosuch/seen.png: No such file"),
    Case(f"predict {LAST} seven.png --show seen.nosuch", "must end in the suffix of a picture format"),
]

COMPARISON = "compare --config short.yaml --arch mlp --seeds 2 --jobs 1"

ENVIRONMENTS = [
    Case(f"{COMPARISON} --epochs 1", "/logs: File exists", 1, {"lightning_logs/compare/logs": holds("")}, process=True),
    Case(f"evaluate {LAST} --data.root data", "accuracy", 0, environment={"MPLBACKEND": "nosuch"}, process=True),
    Case(f"fit {NEW}", "test accuracy", 0, environment={"MPLBACKEND": "nosuch"}, process=True),
    Case(f"predict {LAST} nosuch.png", "nosuch.png", environment={"LOCAL_RANK": "1"}, process=True),
    Case(f"evaluate {LAST} --data.root '[red]data'", r"\[red\]data", 0, {"[red]data": a_copy_of("data")}),
    Case("compare --arch mlp --name '[red]' --seeds 1 --epochs 1 --config short.yaml", r"\[red\]", 0, process=True),
]

SEARCH = "search --config short.yaml --arch mlp --trials 1 --jobs 1 --epochs 1 --confirm 5"
OWN_NETWORK = "fit --config short.yaml --name new --arch own.{}"

OWN_MODULES = [
    usage(OWN_NETWORK.format("Module"), "own.Module is a LightningModule, whose own steps", **{"own.py": OWN}),
    Case(OWN_NETWORK.format("TooLarge"), "too little memory .*--batch_size", 2, {"own.py": OWN}, trains=True),
    usage(
        f"fit {NEW} --config more.yaml",
        "no attribute 'EarlyStoping'",
        **{"more.yaml": holds("trainer: {callbacks: [{class_path: lightning.pytorch.callbacks.EarlyStoping}]}")},
    ),
    usage(
        f"fit {NEW} --config more.yaml",
        "Option 'monitr' is not accepted",
        **{"more.yaml": holds("trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitr: x}}]}")},
    ),
]

# A checkpoint of another run, or a config that was edited.
MIXED = [
    usage(
        f"fit {AGAIN}",
        "was begun with data.val_size=50, not 40: resume it with its own settings",
        **{CONFIG: with_values({"data/init_args/val_size": 40})},
    ),
    Case(f"fit {AGAIN} --data.root moved", r"\n3/3 ", 0, {"moved": a_copy_of("data"), "data": removed}),
    Case(f"fit {AGAIN}", "there is no folder data: --data.root must name", 1, {"data": removed}),
    usage("compare --name run --config short.yaml --arch mlp --seeds 1", "lightning_logs/run is a single run"),
    usage("search --name run --config short.yaml --arch mlp", "lightning_logs/run is a single run"),
    usage(f"{COMPARISON} --grid data.root=data,shapes", "runs on different images cannot be compared"),
    usage(f"{COMPARISON} --grid data.size=[8,8]", "--grid data.size: runs on different images"),
    usage(f"{SEARCH} --space data.root=data|shapes", "--space data.root"),
    usage(f"{SEARCH} --space lr=0.1..0.2 --seed 4294967295", "4294967300"),
    Case(f"fit {NEW} --data.root=~", "above the 0 training images", 2, environment={"HOME": "shapes"}),
    Case(f"fit {NEW} --data.root '~'", "above the 0 training images", 2, environment={"HOME": "shapes"}),
    usage(f"fit {NEW} --learning_rate 1", "did you mean --lr"),
    usage("fit --config short.yaml --arch mlp --name=-dash", "--name '-dash' must be a relative path .* no dash"),
    Case(f"fit {NEW} --data.root /", "/ holds no data: --data.root must name"),
    Case(f"fit {NEW} --data.root s3://bucket", "there is no folder s3:/bucket"),
    Case(f"{COMPARISON} --data.root nosuch", "there is no folder nosuch"),
]


FORGED = [
    Case(f"{command} {LAST} {rest}", says, 1, {LAST: spoiler})
    for command, rest in (("evaluate", "--data.root data"), ("predict", "seven.png"))
    for spoiler, says in (
        (checkpoint_with({"hyper_parameters/image_spec/classes/0": ESCAPE}), "is not a checkpoint of this version"),
        (checkpoint_with({"hyper_parameters/arch": f"a{ESCAPE}.B"}), r"of the class 'a\\x1b\[2J.B'"),
    )
]

ESCAPES = [
    Case(f"predict {LAST} '{ESCAPE}.png'", r"\\x1b\[2J.png: .*No such file"),
    Case(f"predict {LAST} '{ESCAPE}.png'", r"\\x1b\[2J.png", 0, {f"{ESCAPE}.png": a_copy_of("seven.png")}),
    Case(f"fit {NEW} --data.root '{ESCAPE}'", r"there is no folder \\x1b\[2J"),
]

POSTSCRIPT = holds("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\nshowpage\n")

# Found by a second list of cases, thought of afresh.
AFRESH = [
    Case(f"predict {LAST} a.png", "a.png: .*not a picture", 1, {"a.png": POSTSCRIPT}),
    Case(f"fit {NEW} --data.root shapes", "0.png.*not a picture", 1, {"shapes/train/disc/0.png": POSTSCRIPT}),
    Case(f"predict {LAST} .", "seven.png", 0, {"._7.png": holds("x"), "a.pdf": a_file, "b.png": a_folder}),
    Case(f"predict {LAST} 'a\nb.png'", r"a\\nb.png", 1),
    *(
        usage(f"{WRONG} --arch mlp", says, **{"wrong.yaml": holds(content)})
        for content, says in (
            ("optimizer: {class_path: sgd, init_args: fast}", "--optimizer must be a name"),
            ("optimizer: {class_path: null}", "--optimizer must be a name"),
            ("optimizer: {class_path: sgd, init_args: {1: 2}}", "--optimizer must be a name"),
            ("lr_scheduler: {}", "--lr_scheduler must be a name"),
            ("loss: {}", "--loss must be a name"),
            ("trainer: {max_time: {fortnights: 5}}", "fortnights"),
            ("", "expected lines such as lr: 0.01, but found nothing"),
            ("# nothing", "expected lines such as lr: 0.01, but found nothing"),
        )
    ),
    usage(f"fit {NEW} --lr ''", "--model.lr: Expected a <class 'float'>"),
    usage(f"fit {NEW} --loss MSELoss", "^fit.py: the loss torch.nn.MSELoss does not take"),
    usage(f"fit {NEW} --arch sys.exit", "sys.exit is not a subclass of Module, or a function that says it returns one"),
    usage(
        f"fit {NEW} --arch imports.Net",
        "No module named 'nosuchpackage'",
        **{"imports.py": holds("import nosuchpackage")},
    ),
    Case(f"fit {NEW} --data.root '~nosuch/x'", "there is no folder ~nosuch/x"),
    usage(f"{COMPARISON} --grid data.val_size=10,20", "different images"),
]

CASES = [
    *(*OPTIONS, *RUN_DIRECTORIES, *DATA, *FOLDERS, *CHECKPOINTS, *PICTURES, *ENVIRONMENTS),
    *(*OWN_MODULES, *MIXED, *FORGED, *ESCAPES, *AFRESH),
]
