"""A mistake in a command line is one line: before anything is written, or where
Lightning notices it in training.
"""

import errno
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from convblocks.errors import UsageError, UserError
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from convblocks.run.friendly_errors import find_disk_error
from convblocks.run.make import make_run
from convblocks.settings.config import Config
from convblocks.settings.options import begin
from exact_resume import ResumeError
from tests.any_task.bare import HERE as BARE
from tests.any_task.bare import POINTS
from tests.any_task.tasks import HERE, options_of
from tests.conftest import DEBUG
from tests.core.run import own_parts
from tests.core.run.subjects import ODD, unlike
from tests.core.run.test_callbacks import with_callback
from tests.core.run.test_fit import QUICK

PARTS = own_parts.__name__
SHAPES = options_of("shapes")
MODEL, DATA, JUDGE = SHAPES[:2], SHAPES[2:4], SHAPES[4:6]
TUNED = ["--model", f"{BARE}.Tuned", *POINTS]
KNOWN = ["--model", f"{BARE}.Bare", "--data", f"{BARE}.Known", "--judge", "val/loss:min"]
DIGITS = [*DEBUG, "--arch", "mlp", *QUICK]

# Each with --arch mlp, unless it names a network, a model or nothing.
MISTAKES = [
    # Values.
    (["--epochs", "0"], "--epochs and --trainer.max_steps must be at least 1"),
    (["--trainer.max_steps", "0"], "must be at least 1"),
    (["--epochs", "many"], "--trainer.max_epochs: expected int, got many"),
    (["--config", "lr: high"], "--model.lr: expected float, got high"),
    (["--seed", "-1"], "--seed must be in"),
    (["--threads", "0"], "--threads must be above 0"),
    (["--threads", "10000"], "--threads must be at most 1,024"),
    (["--lr", "0"], "--lr must be above 0"),
    (["--lr", "1e400"], "--lr must be above 0 and finite, but is inf"),
    (["--config", "model: {lr: 1, lr: 2}"], "^--config model: .*: lr is given 2 times"),
    (["--config", "a: &a [*a]"], "more than 100,000 values, or holds itself"),
    (["--trainer.max_time", "00:00:00:00"], "max_time must be above 0"),
    (["--trainer.max_time", "{hours: 0}"], "max_time must be above 0"),
    (["--trainer.val_check_interval", "0"], "val_check_interval must be above 0"),
    (["--trainer.check_val_every_n_epoch", "0"], "check_val_every_n_epoch must be above 0"),
    (["--trainer.gradient_clip_val", "-0.5"], "gradient_clip_val must be at least 0"),
    (["--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "0"], "step_size must be above 0"),
    (["--data.root=~"], "--data.root ~ means no value in YAML: give the path of a folder"),
    (["--data.root=null"], "--data.root null means no value in YAML"),
    (["--config", "config: other.yaml"], "a config cannot name another one"),
    (["--config", "model: {class_path: 3}"], "model.class_path in a config must be the name"),
    (["--config", "optimizer: {class_path: null}"], "--optimizer must be a name"),
    (["--config"], "--config needs the name of a YAML file"),
    (["--trainer.limit_train_batches", "0"], "limit_train_batches must be above 0"),
    (["--trainer.limit_test_batches", "0"], "limit_test_batches must be above 0"),
    (["--trainer.accumulate_grad_batches", "0"], "accumulate_grad_batches must be above 0"),
    (["--data.size", "28", "28"], "--data.size is for folders of pictures: .* holds MNIST's files"),
    # The Trainer's options.
    (["--trainer.barebones", "true"], "barebones=True, .* was passed"),
    (["--trainer.enable_checkpointing", "false"], "enable_checkpointing"),
    (["--trainer.accelerator", "abacus"], "invalid accelerator"),
    (["--trainer.default_root_dir", "memory://runs"], "memory://runs: runs are written to a disk"),
    (["--trainer.strategy", "ddp_spawn"], "forks are not supported: give --trainer.strategy ddp"),
    (
        ["--trainer.callbacks", "EarlyStopping"],
        "^--trainer.callbacks: an argument is missing: give --trainer.callbacks.monitor$",
    ),
    (
        ["--trainer.logger", "CSVLogger"],
        "^--trainer.logger: an argument is missing: give --trainer.logger.save_dir$",
    ),
    (
        ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitr", "val/loss"],
        "^--trainer.callbacks: no argument monitr: did you mean --monitor.$",
    ),
    (
        ["--trainer.callbacks", "EarlyStoping"],
        "^--trainer.callbacks: there is no class EarlyStoping: did you mean EarlyStopping.$",
    ),
    (
        ["--trainer.logger", "lightning.pytorch.loggers.CSVLoger"],
        "^--trainer.logger: there is no class CSVLoger: did you mean CSVLogger.$",
    ),
    (["--trainer.logger", "nowhere.Log"], "^--trainer.logger: No module named 'nowhere'$"),
    (
        ["--trainer.callbacks", "Early"],
        "^--trainer.callbacks: there is no class Early: give one by its name",
    ),
    (
        ["--trainer.logger", "wandb"],
        "^--trainer.logger: there is no class wandb: .*such as WandbLogger",
    ),
    pytest.param(
        ["--trainer.logger", "WandbLogger"],
        "^wandb is not installed: pip install wandb$",
        marks=pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed"),
    ),
    # Names of options, configs, and names of runs.
    (["--data.seed", "3"], "unrecognized arguments: --data.seed=3"),
    (
        ["optimizer", "sgd", "--arch", "mlp"],
        "^unrecognized arguments: optimizer: an option begins with two dashes$",
    ),
    (["--lrate", "1"], "unrecognized arguments: --lrate=1: did you mean --lr?"),
    (["--config", "trainer: {max_epoch: 3}"], "did you mean --trainer.max_epochs?"),
    (["--val_size", "1"], "did you mean --data.val_size?"),
    (["--learning_rate", "1"], "did you mean --lr?"),
    (["--seed_everything", "1"], "did you mean --seed?"),
    (["--ckpt_path", "last.ckpt"], "did you mean --resume?"),
    (["--config", "a.yaml", "b.yaml"], "--config takes one value, not a.yaml and b.yaml"),
    (["--config", "missing.yaml"], r"missing\.yaml: No such file"),
    (["--config", "{epochs: [1"], "--config {epochs: .1: "),
    (["--config", "data: 3"], "data in a config must hold options"),
    (
        ["--config", "optimizer: {class_path: sgd, momentum: 0.5}"],
        "--optimizer must be a name, or a class_path",
    ),
    (["--name", "/tmp/run"], "below lightning_logs"),
    (["--name", "../run"], "below lightning_logs"),
    (["--name=-run"], "does not begin with a dash"),
    (
        ["--config", "{trainer: {callbacks: [{class_path: pytorch_lightning.callbacks.Timer}]}}"],
        "^--trainer.callbacks: pytorch_lightning.callbacks.Timer: write lightning.pytorch for",
    ),
    (
        ["--config", "{trainer: {logger: {class_path: pytorch_lightning.loggers.CSVLogger}}}"],
        "^--trainer.logger: pytorch_lightning.loggers.CSVLogger: write lightning.pytorch for",
    ),
    (["--config", "ckpt_path: last.ckpt"], "did you mean --resume?"),
    # Networks.
    ([], "--arch is required: choose one of mlp"),
    (["--arch", "resnet"], "unknown architecture 'resnet': choose one of mlp, .* or a class"),
    (["--arch", "maxpol"], "^unknown architecture 'maxpol': did you mean maxpool.$"),
    (["--arch", "own_networks.Nothing"], "own_networks has no class or function 'Nothing'$"),
    (["--arch", "own_networks.rows"], "has no class or function 'rows': did you mean Rows.$"),
    (["--arch", "own_network.Rows"], "none is installed: did you mean own_networks.$"),
    (["--model", "lightning.pytorch.demo.BoringModel"], "installed: did you mean demos.$"),
    (["--arch", ".Rows"], "'.Rows' is not the name of a class"),
    (["--arch", "nowhere.Rows"], "cannot import nowhere.Rows: No module named 'nowhere'"),
    (
        ["--arch", "own_networks.Rows", "--network.depth", "3"],
        "own_networks.Rows cannot be made .* 'depth'",
    ),
    (
        ["--arch", "own_networks.SevenClasses"],
        r"returns \(2, 7\) for images \(2, .*, not logits \(2, 10\)",
    ),
    (["--arch", "own_networks.Colours"], r"does not take images \(B, 1, 28, 28\): .* 3 channels"),
    (
        ["--arch", f"{HERE}.shapes.Segmenter"],
        "whose own steps would be ignored: give it as --model",
    ),
    # Optimizers, schedules, losses and sources.
    (["--optimizer", "adma"], "^unknown optimizer 'adma': did you mean adam.$"),
    (["--optimizer", "Adm"], "^unknown optimizer 'Adm': did you mean Adam.$"),
    (["--optimizer", "fast"], "'fast': choose one of adam, adamw, sgd, or a class"),
    (["--loss", "CrossEntropyLos"], "'CrossEntropyLos': did you mean CrossEntropyLoss.$"),
    (["--optimizer", "own_networks.Lion"], "own_networks.Lion is not a subclass of Optimizer"),
    (
        ["--optimizer.momentum", "0.9"],
        r"Optimizer torch\.optim\.\S*Adam cannot be made .* 'momentum'",
    ),
    (["--optimizer.lr", "0.1"], "--optimizer.lr is set with --lr"),
    (
        ["--lr_scheduler", "fast"],
        "unknown lr_scheduler 'fast': choose one of constant, onecycle, cosine",
    ),
    (
        ["--lr_scheduler.T_max", "7"],
        "a constant learning rate takes no arguments, but was given T_max",
    ),
    (
        ["--lr_scheduler", "onecycle", "--trainer.max_time", "00:00:01:00"],
        "needs --epochs or --trainer.max_steps",
    ),
    (["--loss", f"{PARTS}.Mean"], r"returns \(\) for 2 images, not \(2,\): one loss per image"),
    (["--loss", "MSELoss"], "cannot be made with .*loss=.MSELoss"),
    (["--loss", f"{PARTS}.Learned"], "Learned has trainable parameters, which"),
    (["--loss", "CrossEntropyLoss", "--loss.reduction", "mean"], "--loss.reduction cannot be set"),
    (
        ["--data.source", "own_networks.Lion"],
        "--data.source: .*'own_networks.Lion' to be a subclass of .*Source",
    ),
    # A user's module.
    ([*MODEL, *DATA, "--judge", "val/iou"], "--judge val/iou: give a metric and its direction"),
    ([*MODEL, *JUDGE], "^give --data: Segmenter has no train_dataloader"),
    (
        ["--model", f"{HERE}.unjudged.Adversaries", *DATA, *JUDGE],
        "--judge val/iou is of the validation, but this run has no loader and no step for it",
    ),
    (
        [*MODEL, *JUDGE, "--data", f"{HERE}.shapes.Drawn"],
        "Drawn is not a subclass of LightningDataModule",
    ),
    (["--model", "os.system"], "os.system is not a subclass of LightningModule"),
    (
        ["--model", f"{BARE}.unsaid"],
        "is not a subclass of LightningModule, or a function that says it",
    ),
    (["--model", f"{BARE}.points"], "points is not a subclass of LightningModule"),
    ([*MODEL, "--data", f"{BARE}.curve"], "curve is not a subclass of LightningDataModule"),
    ([*TUNED, "--lr=1"], "=1: the model has no argument lr; its arguments are lr_scheduler$"),
    ([*TUNED, "--optimizer=sgd", "--lr=1"], "has no argument lr: did you mean --optimizer.lr"),
    (
        ["--model", f"{HERE}.unjudged.Adversaries", "--loss", "MSELoss"],
        "the model has no argument loss; its arguments are none$",
    ),
    (
        ["--model", f"{BARE}.untyped", "--model.sizes", "8", "32", "--model.width", "8", "32"],
        r"^--model.width takes one value, not \[8, 32\]$",
    ),
    (["--model", f"{BARE}.curve", "--model.width", "8", "32"], r"takes one value, not \[8, 32\]"),
    ([*TUNED, "--model.lr_scheduler", "8", "32"], r"takes one value, not \[8, 32\]"),
    (["--model", f"{BARE}.curve", "--model.depth", "3"], "unrecognized arguments: --model.depth"),
    # Optimizers of modules, and what they take from their data.
    (["--model", f"{BARE}.Tuned", *POINTS], "so nothing would be trained: give, for example"),
    (
        ["--model", f"{BARE}.some_module", "--model.bare=true", *POINTS],
        "so nothing would be trained",
    ),
    ([*TUNED, "--lr_scheduler", "StepLR"], "so nothing would be trained"),
    ([*SHAPES, "--optimizer", "Adam"], "without configure_optimizers: Segmenter has its own$"),
    (
        [*SHAPES, "--config", "{optimizer: Adam, lr_scheduler: StepLR}"],
        "^--optimizer and --lr_scheduler, sections of a config too, are for models without",
    ),
    (
        ["--model", f"{BARE}.some_module", *POINTS, "--optimizer", "Adam"],
        "without configure_optimizers: .* has its own$",
    ),
    ([*TUNED, "--optimizer", "adma"], "unknown optimizer 'adma': did you mean adam.$"),
    ([*TUNED, "--optimizer.lr", "1"], "--optimizer must be a name, or a class_path"),
    (["--model", f"{BARE}.Bare", *POINTS, "--config", "from_data: 3"], "--model.width is required"),
    ([*TUNED, "--config", "optimizer: 3"], "--optimizer must be a name, or a class_path"),
    ([*TUNED, "--optimizer", "Adam", "--optimizer.speed", "1"], "cannot be made with .*'speed'"),
    ([*TUNED, "--optimizer", "os.system"], "os.system is not a subclass of Optimizer"),
    (
        [*KNOWN, "--optimizer=sgd", "--lr_scheduler=ReduceLROnPlateau"],
        "--lr_scheduler ReduceLROnPlateau needs the metric that it watches",
    ),
    (
        [*KNOWN, "--optimizer=sgd", "--lr_scheduler=onecycle", "--epochs=-1"],
        "--epochs and --trainer.max_steps must be at least 1",
    ),
    (
        ["--model", f"{BARE}.Bare", "--judge", "val/loss:min"],
        "^--model.width is required: .* no --data",
    ),
    (["--model", f"{BARE}.Bare", *POINTS], "--model.width is required: the model has no default"),
    (
        ["--model", f"{BARE}.Wide", "--data", f"{BARE}.Odd"],
        "--model.shape is required: .* no attribute of this name that is a number, text or a list",
    ),
    (
        ["--model", f"{BARE}.Bare", "--data", f"{BARE}.Late"],
        "give --model.width: the setup of the data, .*, fails without a Trainer: AttributeError",
    ),
    (
        ["--model", f"{BARE}.Bare", "--data", f"{BARE}.Known", "--data.wide", "3"],
        "unrecognized arguments: --data.wide=3: did you mean --data.width",
    ),
    ([*SHAPES, "--arch", "mlp"], "unrecognized arguments: --model.arch=mlp"),
]


@pytest.mark.parametrize(
    ("flags", "message"), MISTAKES, ids=lambda part: part if isinstance(part, str) else None
)
def test_mistake_is_one_line_before_anything_is_written(
    flags: list[str], message: str, own_networks: Path
) -> None:
    arch = ["--arch", "mlp"] if flags and not {"--arch", "--model"} & {*flags} else []
    with pytest.raises(UsageError, match=message) as caught:
        make_run(Config.parse([*arch, *flags]))
    assert "\n" not in str(caught.value)
    assert not Path("lightning_logs").exists()


def test_config_of_a_resume_needs_the_name_that_the_command_line_chooses(
    own_networks: Path,
) -> None:
    with pytest.raises(UsageError, match="--resume needs the --name"):
        make_run(Config.parse(["--arch", "mlp", "--resume"]))
    assert not Path("lightning_logs").exists()


@pytest.mark.parametrize(("flags", "message"), MISTAKES, ids=str)
def test_mistake_that_is_seen_before_torch_is_imported_is_the_same(
    flags: list[str], message: str, own_networks: Path
) -> None:
    arch = ["--arch", "mlp"] if flags and not {"--arch", "--model"} & {*flags} else []
    said = ""
    try:
        begin("fit", [*arch, *flags])
    except UsageError as error:
        said = str(error)
    assert not said or re.search(message, said)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # by torchdata
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            [*MODEL, *DATA, "--judge", "val/dice:max"],
            r"^--judge val/dice is not logged; logged are val/iou: did you mean val/iou\?$",
        ),
        (
            [*ODD, "--judge", "test/loss:min"],
            "is of the test, but this run has no loader and no step for it",
        ),
        (
            [*MODEL, *DATA, "--judge", "val_IoU:max"],
            r"^--judge val_IoU is not logged; logged are val/iou: did you mean val/iou\?$",
        ),
        (
            [*MODEL, *DATA, "--judge", "test/io:max"],
            r"^--judge test/io is not logged; logged are .*: did you mean test/iou\?$",
        ),
        (unlike("Unpicklable"), r"the checkpoint cannot be written: .*Unpicklable.*: leave it out"),
        (unlike("Sparse"), "SparseAdam does not support dense gradients"),
        (unlike("Unscheduled"), "frequency and the step size of a schedule must be at least 1"),
        (unlike("Resuming"), "makes an ExactResume: leave it out"),
        (
            [*unlike("Adapter"), *with_callback("LearningRateFinder", attr_name="rate")],
            "needs what the module lacks: .*learning rate",
        ),
        (
            [*unlike("Adapter"), *with_callback("BackboneFinetuning")],
            "needs what the module lacks: .*no attribute 'backbone'",
        ),
        (unlike("StrictAdapter"), r"Missing key\(s\) in state_dict: .network\.0\.weight"),
        (
            [*DIGITS, *with_callback("EarlyStopping", monitor="val/los")],
            "conditioned on metric `val/los` which",
        ),
        (
            [*DIGITS, "--lr_scheduler=ReduceLROnPlateau", "--lr_scheduler.monitor=loss"],
            "on metric loss which",
        ),
        (
            [*DIGITS, "--trainer.val_check_interval", "30"],
            "equal to the number of the training batches",
        ),
    ],
)
def test_mistake_that_shows_in_training_is_one_line(
    flags: list[str], message: str, workspace: Path
) -> None:
    with pytest.raises(ResumeError, match=message) as caught:
        fit.main([*flags, "--name", "run"])
    assert "\n" not in str(caught.value)
    assert not RunDirectory("run").summary.exists()


@pytest.mark.parametrize(
    "option", ["arch", "loss", "optimizer", "lr_scheduler", "trainer.callbacks", "data.source"]
)
@pytest.mark.parametrize("named", ["os.system", "builtins.dict"])
def test_option_that_names_something_else_calls_nothing(
    option: str, named: str, workspace: Path
) -> None:
    """A config may come from a stranger."""
    words = [
        "--arch",
        "mlp",
        f"--{option}",
        named,
        *(["--network.command", "touch here"] if option == "arch" else []),
    ]
    with pytest.raises(
        UserError, match=r"subclass|denied|[Ee]xpected|no signature|no attribute"
    ) as caught:
        make_run(Config.parse(words))
    assert "\n" not in str(caught.value)
    assert not list(workspace.iterdir())


def test_disk_error_is_recognised_behind_the_error_of_a_logger() -> None:
    full, wrapping = (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("the logger cannot write"),
    )
    wrapping.__cause__ = full
    assert find_disk_error(wrapping, Path("lightning_logs/run")) is full
    assert find_disk_error(RuntimeError("a bug"), Path("lightning_logs/run")) is None
