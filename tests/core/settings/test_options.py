"""Every setting can be given in one way, is saved, and can be read back."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.profilers import SimpleProfiler

from convblocks import wings
from convblocks.__main__ import docstring
from convblocks.data.module import ImageDataModule
from convblocks.record.directory import RunDirectory
from convblocks.run.make import make_run
from convblocks.settings.config import Config
from convblocks.settings.parser import make_parser
from convblocks.settings.words import SHORT
from convblocks.text import as_yaml, flatten
from tests.conftest import REPOSITORY
from tests.forked_python import python_path
from tests.scripts import run_script

HELP = docstring(wings.commands()["fit"])


def test_help_lists_the_parsers_options_and_defaults_on_a_screen(workspace: Path) -> None:
    lines = HELP.strip().splitlines()
    assert len(lines) <= 24
    defaults = make_parser().get_defaults()
    options = {*SHORT} | (vars(defaults).keys() - {"trainer"})
    described = set(re.findall(r"--(\w+)", HELP)) - {"help_all", "print_config", "trainer"}
    assert described - {"check_resume"} == options - wings.modules("OPTIONS").keys()
    settings = flatten(Config.parse(["--arch", "mlp"]).settings)
    for option, default in re.findall(
        r"^  --(\w+).*\(default: ([\d.]+)\)", HELP, flags=re.MULTILINE
    ):
        assert float(default) == settings[SHORT.get(option, option)]


def test_help_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), python_path()]))
    answer = run_script("fit", "--help", cwd=tmp_path, fresh=True)
    assert (answer.returncode, answer.stdout) == (0, HELP + "\n")


def test_config_of_the_notebook_spells_out_the_defaults(workspace: Path) -> None:
    config = REPOSITORY / "configs" / "notebook.yaml"
    assert Config.parse(["--arch", "mlp", "--config", str(config)]) == Config.parse(
        ["--arch", "mlp"]
    )
    assert {"epochs", "batch_size", "lr", "seed"} <= yaml.safe_load(config.read_text()).keys()


def test_options_reach_the_parts(workspace: Path) -> None:
    flags = [
        "--lr",
        "0.003",
        "--batch_size",
        "32",
        "--epochs",
        "3",
        "--seed",
        "5",
        "--data.val_size",
        "1000",
    ]
    flags += ["--trainer.profiler", "simple", "--trainer.limit_train_batches", "1"]
    flags += ["--trainer.callbacks", "TQDMProgressBar"]
    config = Config.parse(["--arch", "mlp", *flags])
    run = make_run(config)
    data, trainer = run.data, run.trainer
    assert isinstance(data, ImageDataModule)
    assert (data.batch_size, data.seed, data.val_size) == (32, 5, 1000)
    assert run.module.hparams["lr"] == 0.003
    assert trainer.max_epochs == 3
    # 1.0 would be all batches
    assert repr(config.settings["trainer"]["limit_train_batches"]) == "1"
    assert isinstance(trainer.progress_bar_callback, TQDMProgressBar)  # in the place of ours
    # Lightning sets it at run time
    assert isinstance(trainer.profiler, SimpleProfiler)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], "adam"),
        (["--optimizer", "adamw"], "adamw"),
        (
            ["--optimizer.weight_decay", "1e-3"],
            {"class_path": "adam", "init_args": {"weight_decay": 0.001}},
        ),
        (
            ["--optimizer.eps", "1", "--optimizer", "sgd"],
            {"class_path": "sgd", "init_args": {"eps": 1}},
        ),
        (
            [
                "--config",
                "optimizer: {class_path: sgd, init_args: {momentum: 0.5}}",
                "--optimizer",
                "adam",
            ],
            "adam",
        ),
        (
            ["--config", "optimizer: sgd", "--optimizer.eps", "1e-3"],
            {"class_path": "sgd", "init_args": {"eps": 0.001}},
        ),
        (
            [
                "--config",
                "optimizer: {class_path: SGD, init_args: {eps: 1, dampening: 0}}",
                "--optimizer.eps",
                "2",
            ],
            {"class_path": "SGD", "init_args": {"eps": 2, "dampening": 0}},
        ),
    ],
)
def test_optimizer_is_given_with_arguments(
    workspace: Path, flags: list[str], expected: Any
) -> None:
    assert (
        Config.parse(["--arch", "mlp", *flags]).settings["model"]["init_args"]["optimizer"]
        == expected
    )


@pytest.mark.parametrize(
    "flags",
    [
        ["--lr", "0.003", "--seed", "5", "--data.val_size", "1000", "--threads", "1"],
        [
            "--optimizer",
            "sgd",
            "--optimizer.momentum",
            "0.5",
            "--data.size",
            "8",
            "9",
            "--epochs",
            "2",
        ],
        [
            "--trainer.max_steps",
            "7",
            "--trainer.logger+=CSVLogger",
            "--trainer.logger.save_dir=csv",
        ],
        [
            "--trainer.strategy",
            "ddp",
            "--trainer.strategy",
            "DDPStrategy",
            "--trainer.strategy.timeout",
            "0:05:00",
        ],
    ],
    ids=lambda flags: flags[0],
)
def test_config_that_is_saved_builds_what_the_command_line_does(
    workspace: Path, flags: list[str]
) -> None:
    config = Config.parse(["--arch", "mlp", *flags])
    (workspace / "saved.yaml").write_text(yaml.safe_dump(config.settings))
    again = Config.parse(["--config", "saved.yaml"])
    assert again.settings == config.settings


def test_config_that_is_printed_parses_to_the_same(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--arch", "maxpool", "--lr", "0.003", "--lr_scheduler", "onecycle"]
    flags += ["--optimizer", "sgd", "--optimizer.momentum", "0.5"]
    with pytest.raises(SystemExit) as caught:
        Config.parse([*flags, "--print_config"])
    assert caught.value.code in (None, 0)
    Path("printed.yaml").write_text(capsys.readouterr().out)
    assert Config.parse(["--config", "printed.yaml"]) == Config.parse(flags)


@pytest.mark.parametrize(
    "words",
    [
        "--config {configs}/onecycle.yaml --arch maxpool",
        "--arch mlp --model.optimizer SGD --model.optimizer.momentum 0.9 --data.val_size 9",
        "--config {configs}/notebook.yaml --arch mlp --trainer.callbacks EarlyStopping "
        "--trainer.callbacks.monitor val/loss",
    ],
)
def test_config_that_is_printed_prints_as_the_same_text(
    words: str, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words.format(configs=REPOSITORY / "configs").split()
    printed = []
    for _ in range(2):
        with pytest.raises(SystemExit):
            Config.parse([*given, "--print_config"])
        printed.append(capsys.readouterr().out)
        Path("printed.yaml").write_text(printed[-1])
        given = ["--config", "printed.yaml"]
    assert printed[0] == printed[1]


def test_option_with_a_short_name_is_that_of_an_argument(workspace: Path) -> None:
    short = [
        "--arch",
        "mlp",
        "--lr",
        "0.3",
        "--batch_size",
        "8",
        "--epochs",
        "2",
        "--optimizer.eps",
        "1",
    ]
    full = [
        "--model",
        "convblocks.ImageClassifier",
        "--model.arch=mlp",
        "--model.lr",
        "0.3",
        "--trainer.max_epochs=2",
    ]
    full += [
        "--data",
        "convblocks.ImageDataModule",
        "--data.batch_size",
        "8",
        "--model.optimizer.eps",
        "1",
    ]
    assert Config.parse(short) == Config.parse(full)


def test_config_may_mix_short_names_sections_and_the_classes_of_lightning_cli(
    workspace: Path,
) -> None:
    Path("mixed.yaml").write_text(
        "arch: mlp\nepochs: 2\nlr: 0.3\nmodel: {loss: NLLLoss}\n"
        "data:\ntrainer: {limit_train_batches: 3}\n"
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
    def __init__(
        self, depth: int | None = 5, act: Callable = torch.tanh, kind: str = "a", given=3
    ) -> None:
        super().__init__()
        self.arguments = (depth, act, kind, given)

    def configure_optimizers(self):
        pass

class Wrapped(LightningModule):
    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()

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
        # Nobody has said of what type it must be: it is not called.
        ["--model.given", '{"class_path": "typed_parts.Tuned"}'],
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


@pytest.mark.parametrize("option", ["--model.net", "--model.net.class_path"])
def test_an_argument_that_the_model_demands_is_given_by_either_name(
    workspace: Path, option: str
) -> None:
    Path("typed_parts.py").write_text(TYPED)
    flags = ["--model", "typed_parts.Wrapped", "--data", "typed_parts.Data"]
    config = Config.parse([*flags, option, "torch.nn.Tanh"])
    assert type(config.arguments("model")["net"]) is torch.nn.Tanh
