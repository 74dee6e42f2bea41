"""Every setting can be given in one way, is saved, and can be read back."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from lightning.pytorch.profilers import SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy

from convblocks import wings
from convblocks.__main__ import docstring
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError, UserError
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory
from convblocks.run.parser import SHORT, parser
from convblocks.run.run import Run
from convblocks.text import as_yaml, flatten
from tests.conftest import REPOSITORY
from tests.scripts import run_script

HELP = docstring(wings.commands()["fit"])


def test_help_lists_the_parsers_options_and_defaults_on_a_screen(workspace: Path) -> None:
    lines = HELP.strip().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    defaults = parser().get_defaults()
    options = {*SHORT} | (vars(defaults).keys() - {"trainer"})
    described = set(re.findall(r"--(\w+)", HELP)) - {"help_all", "print_config", "trainer"}
    assert described - {"check_resume"} == options - wings.modules("OPTIONS").keys()
    settings = flatten(Config.parse(["--arch", "mlp"]).settings)
    for option, default in re.findall(r"^  --(\w+).*\(default: ([\d.]+)\)", HELP, flags=re.MULTILINE):
        assert float(default) == settings[SHORT.get(option, option)]


def test_help_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = run_script("fit", "--help", cwd=tmp_path, fresh=True)
    assert (answer.returncode, answer.stdout) == (0, HELP + "\n")


def test_config_of_the_notebook_spells_out_the_defaults(workspace: Path) -> None:
    config = REPOSITORY / "configs" / "notebook.yaml"
    assert Config.parse(["--arch", "mlp", "--config", str(config)]) == Config.parse(["--arch", "mlp"])
    assert {"epochs", "batch_size", "lr", "seed"} <= yaml.safe_load(config.read_text()).keys()


def test_options_reach_the_parts(workspace: Path) -> None:
    flags = ["--lr", "0.003", "--batch_size", "32", "--epochs", "3", "--seed", "5", "--data.val_size", "1000"]
    config = Config.parse(["--arch", "mlp", *flags, "--trainer.profiler", "simple"])
    run = Run(config)
    data, trainer = run.data, run.trainer
    assert isinstance(data, ImageDataModule)
    assert (data.batch_size, data.seed, data.val_size) == (32, 5, 1000)
    assert run.module.hparams["lr"] == 0.003
    assert trainer.max_epochs == 3
    assert isinstance(trainer.profiler, SimpleProfiler)  # type: ignore[attr-defined]  # Lightning sets it at run time


@pytest.mark.parametrize(
    "flags",
    [
        ["--lr", "0.003", "--seed", "5", "--data.val_size", "1000", "--threads", "1"],
        ["--optimizer", "sgd", "--optimizer.momentum", "0.5", "--data.size", "8", "9", "--epochs", "2"],
        ["--trainer.max_steps", "7", "--trainer.logger+=CSVLogger", "--trainer.logger.save_dir=csv"],
        ["--trainer.callbacks+=callbacks.Open", "--trainer.callbacks.dict_kwargs.more=3"],
        ["--trainer.strategy", "ddp", "--trainer.strategy", "DDPStrategy", "--trainer.strategy.timeout", "0:05:00"],
    ],
    ids=lambda flags: flags[0],
)
def test_config_that_is_saved_builds_what_the_command_line_does(workspace: Path, flags: list[str]) -> None:
    (workspace / "callbacks.py").write_text(
        "from lightning.pytorch import Callback\nclass Open(Callback):\n    def __init__(self, fewer=1, **more): pass\n"
    )
    config = Config.parse(["--arch", "mlp", *flags])
    (workspace / "saved.yaml").write_text(yaml.safe_dump(config.settings))
    again = Config.parse(["--config", "saved.yaml"])
    assert again.settings == config.settings
    assert (again.parsed.data, again.parsed.trainer) == (config.parsed.data, config.parsed.trainer)


def test_config_that_comes_later_replaces_a_class_with_its_arguments(workspace: Path) -> None:
    first = {"class_path": "Adam", "init_args": {"betas": [0.7, 0.9]}}
    second = {"class_path": "Adam", "init_args": {"weight_decay": 0.1}}
    (workspace / "first.yaml").write_text(yaml.safe_dump({"arch": "mlp", "optimizer": first, "lr": 0.003}))
    (workspace / "second.yaml").write_text(yaml.safe_dump({"optimizer": second}))
    settings = Config.parse(["--config", "first.yaml", "--config", "second.yaml"]).settings
    model = settings["model"]["init_args"]
    assert (model["optimizer"], model["lr"]) == (second, 0.003)


def test_config_that_is_printed_parses_to_the_same(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--arch", "maxpool", "--lr", "0.003", "--lr_scheduler", "onecycle"]
    flags += ["--optimizer", "sgd", "--optimizer.momentum", "0.5"]
    with pytest.raises(SystemExit) as caught:
        Config.parse([*flags, "--print_config"])
    assert caught.value.code in (None, 0)
    Path("printed.yaml").write_text(capsys.readouterr().out)
    assert Config.parse(["--config", "printed.yaml"]) == Config.parse(flags)


@pytest.mark.slow
def test_option_of_a_number_of_batches_is_an_int_whatever_was_imported_before(tmp_path: Path) -> None:
    """If any module has written `Union[float, int]` first, Lightning's `Union[int, float]` becomes that."""
    program = (
        "import typing; typing.Optional[typing.Union[float, int]]\n"
        "from convblocks.run.config import Config\n"
        "flags = ['--arch', 'mlp', '--trainer.limit_train_batches', '1', '--trainer.limit_val_batches', '1.0']\n"
        "trainer = Config.parse(flags).settings['trainer']\n"
        "print(repr(trainer['limit_train_batches']), repr(trainer['limit_val_batches']))\n"
    )
    finished = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert finished.stdout == "1 1.0\n"


def test_option_with_a_short_name_is_that_of_an_argument(workspace: Path) -> None:
    short = ["--arch", "mlp", "--lr", "0.3", "--batch_size", "8", "--epochs", "2", "--optimizer.eps", "1"]
    full = ["--model", "convblocks.ImageClassifier", "--model.arch=mlp", "--model.lr", "0.3", "--trainer.max_epochs=2"]
    full += ["--data", "convblocks.ImageDataModule", "--data.batch_size", "8", "--model.optimizer.eps", "1"]
    assert Config.parse(short) == Config.parse(full)


def test_config_may_mix_short_names_sections_and_the_classes_of_lightning_cli(workspace: Path) -> None:
    Path("mixed.yaml").write_text(
        "arch: mlp\nepochs: 2\nlr: 0.3\nmodel: {loss: NLLLoss}\ndata:\ntrainer: {limit_train_batches: 3}\n"
    )
    parts = {
        "seed": 3,
        "model": {
            "class_path": "convblocks.ImageClassifier",
            "init_args": {"arch": "mlp", "lr": 0.3, "loss": "NLLLoss"},
        },
        "data": {"class_path": "convblocks.ImageDataModule", "init_args": {"val_size": 9}},
        "trainer": {"max_epochs": 2, "limit_train_batches": 3},
    }
    Path("cli.yaml").write_text(yaml.safe_dump(parts))
    flags = ["--config", "mixed.yaml", "--data.val_size", "9", "--seed", "3"]
    assert Config.parse(flags) == Config.parse(["--config", "cli.yaml"])


def test_max_steps_is_the_only_limit_unless_there_are_epochs_too(workspace: Path) -> None:
    for flags, epochs in (([], -1), (["--epochs", "3"], 3)):
        config = Config.parse(["--arch", "mlp", "--trainer.max_steps", "130", *flags])
        assert config.settings["trainer"]["max_epochs"] == epochs


def test_resume_with_the_same_words_adds_no_callback(workspace: Path) -> None:
    words = ["--arch", "mlp", "--name", "run", "--trainer.callbacks+=LearningRateMonitor"]
    config, run = Config.parse(words), RunDirectory("run")
    run.create()
    run.write_config(config.settings)
    assert Config.parse([*words, "--resume"]).settings == config.settings
    assert Config.parse(["--name", "run", "--resume"]).settings == config.settings


TYPED = """
import torch
from collections.abc import Callable
from lightning import LightningDataModule, LightningModule
from lightning.pytorch.cli import OptimizerCallable

def double(x):
    return 2 * x

class Tuned(LightningModule):
    def __init__(self, optimizer: OptimizerCallable = torch.optim.SGD) -> None:
        super().__init__()

class Model(LightningModule):
    def __init__(self, depth: int | None = 5, act: Callable = torch.tanh, kind: str = "a", given=3) -> None:
        super().__init__()
        self.arguments = (depth, act, kind, given)

class Data(LightningDataModule):
    def __init__(self, root: str = "x") -> None:
        super().__init__()
        self.root = root

    def train_dataloader(self):
        return []
"""


@pytest.mark.parametrize(
    "flags",
    [
        ["--model.depth", "null"],
        ["--model.act", "typed_parts.double", "--model.kind", "b", "--model.given", "[1, 2]"],
        ["--model.act", "torch.relu"],
    ],
    ids=lambda flags: " ".join(flags),
)
def test_config_keeps_arguments_of_any_type(workspace: Path, flags: list[str]) -> None:
    Path("typed_parts.py").write_text(TYPED)
    config = Config.parse(["--model", "typed_parts.Model", "--data", "typed_parts.Data", *flags])
    Path("saved.yaml").write_text(as_yaml(config.settings))
    again = Config.parse(["--config", "saved.yaml"])
    assert again.settings == config.settings
    data, same_data = config.make_data(), again.make_data()
    assert config.make_module(data).arguments == again.make_module(same_data).arguments
    assert data.root == same_data.root  # type: ignore[union-attr]  # of the class above


def test_option_names_torchs_class_although_a_faster_one_has_the_same_name(workspace: Path) -> None:
    Path("typed_parts.py").write_text(TYPED)
    Run(Config.parse(["--arch", "mlp"]))  # imports the speed-ups
    config = Config.parse(["--model", "typed_parts.Tuned", "--data", "typed_parts.Data", "--model.optimizer", "Adam"])
    assert config.settings["model"]["init_args"]["optimizer"]["class_path"] == "torch.optim.Adam"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--arch is required: choose one of mlp"),
        (["--arch", "resnet"], "unknown architecture 'resnet': choose one of mlp, .* or a class"),
        (["--epochs", "0"], "--epochs and --trainer.max_steps must be at least 1"),
        (["--epochs", "-1"], "must be at least 1"),
        (["--trainer.max_steps", "10", "--epochs", "0"], "must be at least 1"),
        (["--epochs", "many"], "--trainer.max_epochs: Expected a <class 'int'> Given value: many"),
        (["--lr", "high"], "--model.lr: Expected a <class 'float'>. Got value: high"),
        (["--config", "lr: high"], "--model.lr: Expected a <class 'float'>. Got value: high"),
        (["--batch_size", "0"], "at least 1"),
        (["--data.val_size", "-1"], "val_size must not be negative"),
        (["--data.size", "8"], "--data.size: Expected a <class 'tuple'>"),
        (["--data.size", "28", "28"], "--data.size is for folders of pictures: .* holds MNIST's files"),
        (["--trainer.max_steps", "0"], "must be at least 1"),
        (["--trainer.deterministic", "x"], "--trainer.deterministic: .*'warn'.* Given value: x"),
        (["--trainer.accelerator", "abacus"], "invalid accelerator"),
        (["--trainer.max_time", "soon"], "not a valid duration"),
        (["--trainer.strategy", "fsdp", "--trainer.accelerator", "cpu"], "requires a GPU accelerator"),
        (["--trainer.strategy", "ddp_spawn"], "forks are not supported: give --trainer.strategy ddp"),
        (["--trainer.callbacks", "EarlyStopping"], "--trainer.callbacks: .*required: monitor"),
        (["--trainer.callbacks", "nosuch.Callback"], "No module named 'nosuch'"),
        (["--config", "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitr: x}}]}"], "mean --monitor"),
        (["--data.seed", "3"], "unrecognized arguments: --data.seed=3"),
        (["--lrate", "1"], "unrecognized arguments: --lrate=1: did you mean --lr?"),
        (["--config", "lrate: 3"], "unrecognized arguments: --lrate: did you mean --lr?"),
        (["--config", "trainer: {max_epoch: 3}"], "did you mean --trainer.max_epochs?"),
        (["--val_size", "1"], "did you mean --data.val_size?"),
        (["--learning_rate", "1"], "did you mean --lr?"),
        (["--config", "a.yaml", "b.yaml"], "--config takes one value, not a.yaml and b.yaml"),
        (["--config", "missing.yaml"], r"missing\.yaml: No such file"),
        (["--config", "{epochs: [1"], "--config {epochs: .1: "),
        (["--config", "data: 3"], "data in a config must hold options"),
        (["--config", "optimizer: {class_path: sgd, momentum: 0.5}"], "--optimizer must be a name, or a class_path"),
        (["--optimizer"], "--model.optimizer: expected one argument"),
        (["--name", "/tmp/run"], "below lightning_logs"),
        (["--name", "../run"], "below lightning_logs"),
        (["--name=-run"], "begins with no dash"),
        (["--name", ""], "below lightning_logs"),
        (["--resume"], "--resume needs the --name"),
    ],
)
def test_option_that_is_wrong_is_one_line(flags: list[str], message: str, workspace: Path) -> None:
    arch = ["--arch", "mlp"] if flags and "--arch" not in flags else []
    with pytest.raises(UsageError, match=message) as caught:
        Run(Config.parse([*arch, *flags]))
    assert "\n" not in str(caught.value)
    assert list(workspace.iterdir()) == []


@pytest.mark.parametrize("option", ["arch", "loss", "optimizer", "lr_scheduler", "trainer.callbacks", "data.source"])
@pytest.mark.parametrize("named", ["os.system", "builtins.dict"])
def test_option_that_names_something_else_calls_nothing(option: str, named: str, workspace: Path) -> None:
    """A config may come from a stranger."""
    words = ["--arch", "mlp", f"--{option}", named, *(["--network.command", "touch here"] if option == "arch" else [])]
    with pytest.raises(UserError, match=r"subclass|denied|[Ee]xpected|no signature|no attribute") as caught:
        Run(Config.parse(words))
    assert "\n" not in str(caught.value)
    assert not list(workspace.iterdir())


def test_strategy_may_have_arguments_in_a_config(workspace: Path) -> None:
    """On the command line as in docs/manual/cluster.md, see above."""
    strategy = "class_path: DDPStrategy, init_args: {timeout: '0:05:00'}"
    Path("own.yaml").write_text(f"{{arch: mlp, trainer: {{accelerator: cpu, strategy: {{{strategy}}}}}}}")
    trainer = Run(Config.parse(["--config", "own.yaml"])).trainer
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.strategy._timeout == timedelta(minutes=5)
