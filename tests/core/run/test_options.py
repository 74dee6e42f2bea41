"""Every setting can be given in one way, is saved, and can be read back."""

import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import yaml
from lightning.pytorch.profilers import SimpleProfiler
from lightning.pytorch.strategies import DDPStrategy

from convblocks import wings
from convblocks.__main__ import docstring
from convblocks.data.module import ImageDataModule
from convblocks.errors import UsageError
from convblocks.run.config import Config
from convblocks.run.parser import SHORT, parser
from convblocks.run.run import Run
from convblocks.run.trainer import make_trainer
from convblocks.text import as_yaml, flatten
from tests.conftest import REPOSITORY
from tests.scripts import run_script

HELP = docstring(wings.commands()["fit"])


def test_help_lists_the_parsers_options_and_defaults_on_a_screen(workspace: Path) -> None:
    lines = HELP.strip().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    defaults = parser().get_defaults()
    options = ({*SHORT} - {"datamodule", "seed_everything"}) | (vars(defaults).keys() - {"trainer"})
    described = set(re.findall(r"--(\w+)", HELP)) - {"help_all", "print_config", "trainer"}
    assert described - {"check_resume"} == options - wings.options().keys()
    settings = flatten(Config.parse(["--arch", "mlp"]).settings)
    for option, default in re.findall(r"^  --(\w+).*\(default: ([\d.]+)\)", HELP, flags=re.MULTILINE):
        assert float(default) == settings[SHORT.get(option, option)]


def test_help_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = run_script("fit", "--help", cwd=tmp_path, fresh=True)
    assert (answer.returncode, answer.stdout) == (0, HELP + "\n")


def test_the_notebooks_config_spells_out_the_defaults(workspace: Path) -> None:
    config = REPOSITORY / "configs" / "notebook.yaml"
    assert Config.parse(["--arch", "mlp", "--config", str(config)]) == Config.parse(["--arch", "mlp"])
    assert {"epochs", "batch_size", "lr", "seed"} <= yaml.safe_load(config.read_text()).keys()


def test_settings_reach_the_parts(workspace: Path) -> None:
    flags = ["--lr", "0.003", "--batch_size", "32", "--epochs", "3", "--seed", "5", "--data.val_size", "1000"]
    config = Config.parse(["--arch", "mlp", *flags, "--trainer.profiler", "simple"])
    data, trainer = config.make_data(), make_trainer(config, workspace)
    assert isinstance(data, ImageDataModule)
    assert (data.batch_size, data.seed, data.val_size) == (32, 5, 1000)
    assert config.make_module(data).hparams["lr"] == 0.003
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
def test_saved_settings_build_what_the_command_line_does(workspace: Path, flags: list[str]) -> None:
    (workspace / "callbacks.py").write_text(
        "from lightning.pytorch import Callback\nclass Open(Callback):\n    def __init__(self, fewer=1, **more): pass\n"
    )
    config = Config.parse(["--arch", "mlp", *flags])
    (workspace / "saved.yaml").write_text(yaml.safe_dump(config.settings))
    again = Config.parse(["--config", "saved.yaml"])
    assert again.settings == config.settings
    assert (again.parsed.data, again.parsed.trainer) == (config.parsed.data, config.parsed.trainer)


@pytest.mark.parametrize("later", ["AdamW", "Adam"])
def test_a_later_configs_class_replaces_an_earlier_one_with_its_arguments(workspace: Path, later: str) -> None:
    first = {"class_path": "Adam", "init_args": {"betas": [0.7, 0.9]}}
    second = {"class_path": later, "init_args": {"weight_decay": 0.1}}
    (workspace / "first.yaml").write_text(yaml.safe_dump({"arch": "mlp", "optimizer": first, "lr": 0.003}))
    (workspace / "second.yaml").write_text(yaml.safe_dump({"optimizer": second}))
    settings = Config.parse(["--config", "first.yaml", "--config", "second.yaml"]).settings
    model = settings["model"]["init_args"]
    assert (model["optimizer"], model["lr"]) == (second, 0.003)


def test_the_command_line_wins_over_a_configs_arguments_of_a_class(workspace: Path) -> None:
    own = {"class_path": "SGD", "init_args": {"momentum": 0.5, "nesterov": True}}
    (workspace / "own.yaml").write_text(yaml.safe_dump({"arch": "mlp", "optimizer": own}))
    settings = Config.parse(["--config", "own.yaml", "--optimizer.momentum", "0.9"]).settings
    assert settings["model"]["init_args"]["optimizer"]["init_args"] == {"momentum": 0.9, "nesterov": True}


def test_a_printed_config_parses_to_the_same_config(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--arch", "maxpool", "--lr", "0.003", "--lr_scheduler", "onecycle"]
    flags += ["--optimizer", "sgd", "--optimizer.momentum", "0.5"]
    with pytest.raises(SystemExit) as caught:
        Config.parse([*flags, "--print_config"])
    assert caught.value.code in (None, 0)
    Path("printed.yaml").write_text(capsys.readouterr().out)
    assert Config.parse(["--config", "printed.yaml"]) == Config.parse(flags)


@pytest.mark.slow
def test_a_number_of_batches_is_an_int_whatever_was_imported_before(tmp_path: Path) -> None:
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


def test_parsing_seeds_nothing(workspace: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    Config.parse(["--arch", "mlp", "--seed", "5"])
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("short", "full"),
    [
        (["--arch", "mlp", "--lr", "0.3"], ["--model.arch=mlp", "--model.init_args.lr", "0.3"]),
        (["--arch", "mlp", "--batch_size", "8"], ["--model.arch", "mlp", "--data.batch_size", "8"]),
        (["--arch", "mlp", "--epochs", "2"], ["--arch", "mlp", "--trainer.max_epochs=2"]),
        (["--arch", "mlp", "--seed", "3"], ["--arch", "mlp", "--seed_everything", "3"]),
        (["--arch", "mlp", "--optimizer.eps", "1"], ["--arch", "mlp", "--model.optimizer.init_args.eps", "1"]),
        (["--arch", "mlp"], ["--model", "convblocks.ImageClassifier", "--arch", "mlp"]),
        (["--arch", "mlp"], ["--arch", "mlp", "--datamodule", "convblocks.ImageDataModule"]),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_short_option_abbreviates_the_name_of_an_argument(workspace: Path, short: list[str], full: list[str]) -> None:
    assert Config.parse(short) == Config.parse(full)


def test_a_config_of_lightning_cli_is_read(workspace: Path) -> None:
    parts = {
        "seed_everything": 3,
        "model": {"class_path": "convblocks.ImageClassifier", "init_args": {"arch": "mlp", "lr": 0.003}},
        "data": {"class_path": "convblocks.ImageDataModule", "init_args": {"batch_size": 32}},
        "trainer": {"max_epochs": 2},
    }
    Path("cli.yaml").write_text(yaml.safe_dump(parts))
    flags = ["--arch", "mlp", "--lr", "0.003", "--batch_size", "32", "--epochs", "2", "--seed", "3"]
    assert Config.parse(["--config", "cli.yaml"]) == Config.parse(flags)


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
def test_arguments_of_any_type_are_saved_as_they_are_read(workspace: Path, flags: list[str]) -> None:
    Path("typed_parts.py").write_text(TYPED)
    config = Config.parse(["--model", "typed_parts.Model", "--data", "typed_parts.Data", *flags])
    Path("saved.yaml").write_text(as_yaml(config.settings))
    again = Config.parse(["--config", "saved.yaml"])
    assert again.settings == config.settings
    data, same_data = config.make_data(), again.make_data()
    assert config.make_module(data).arguments == again.make_module(same_data).arguments
    assert data.root == same_data.root  # type: ignore[union-attr]  # of the class above


def test_a_name_of_torchs_is_torchs_although_there_are_faster_classes_of_the_same_name(workspace: Path) -> None:
    Path("typed_parts.py").write_text(TYPED)
    Run(Config.parse(["--arch", "mlp"]))  # imports the speed-ups
    config = Config.parse(["--model", "typed_parts.Tuned", "--data", "typed_parts.Data", "--model.optimizer", "Adam"])
    assert config.settings["model"]["init_args"]["optimizer"]["class_path"] == "torch.optim.Adam"


def test_short_and_full_names_stand_in_one_config(workspace: Path) -> None:
    Path("mixed.yaml").write_text(
        "arch: mlp\nepochs: 2\nlr: 0.3\n"
        "model: {loss: NLLLoss}\ntrainer: {limit_train_batches: 3}\ndata: {val_size: 9}\n"
    )
    flags = ["--arch", "mlp", "--epochs", "2", "--lr", "0.3", "--loss", "NLLLoss", "--data.val_size", "9"]
    assert Config.parse(["--config", "mixed.yaml"]) == Config.parse([*flags, "--trainer.limit_train_batches", "3"])


def test_a_later_configs_model_gets_no_argument_of_an_earlier_one(workspace: Path) -> None:
    own = "class_path: tests.any_task.shapes.Segmenter"
    Path("images.yaml").write_text("model: {class_path: convblocks.ImageClassifier, init_args: {arch: mlp, lr: 7}}")
    Path("own.yaml").write_text(f"model: {{{own}}}\ndata: {{class_path: tests.any_task.shapes.Shapes}}")
    config = Config.parse(["--config", "images.yaml", "--config", "own.yaml", "--judge", "val/iou:max"])
    assert config == Config.parse(["--config", "own.yaml", "--judge", "val/iou:max"])
    assert config.settings["model"]["init_args"].get("lr") != 7


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "--arch is required"),
        (["--arch", "resnet"], "unknown architecture 'resnet'"),
        (["--arch", "mlp", "--epochs", "0"], "--epochs must be at least 1"),
        (["--arch", "mlp", "--epochs", "-1"], "--epochs must be at least 1"),
        (["--arch", "mlp", "--epochs", "many"], "--trainer.max_epochs: Expected a <class 'int'>, not many"),
        (["--arch", "mlp", "--lr", "high"], "--model.lr: Expected a <class 'float'>. Got value: high"),
        (["--arch", "mlp", "--data.flip", "perhaps"], "--data.flip: Expected a <class 'bool'>. Got value: perhaps"),
        (["--arch", "mlp", "--trainer.deterministic", "x"], "--trainer.deterministic: .*'warn'.*, not x"),
        (["--arch", "mlp", "--trainer.logger", "x"], "--trainer.logger: .*, not x"),
        (["--arch", "mlp", "--data.seed", "3"], "unrecognized arguments: --data.seed=3"),
        (["--arch", "mlp", "--ckpt_path", "last.ckpt"], "--resume carries on the run of that --name"),
        (["--arch", "mlp", "--config", "lrate: 3"], "unrecognized arguments: --lrate: did you mean --lr?"),
        (["--arch", "mlp", "--config", "trainer: {max_epoch: 3}"], "did you mean --trainer.max_epochs?"),
        (["--arch", "mlp", "--config", "a.yaml", "b.yaml"], "--config takes one value, not a.yaml and b.yaml"),
        (["--arch", "mlp", "--optimizer"], "--model.optimizer: expected one argument"),
        (["--arch", "mlp", "--threads", "0"], "--threads must be at least 1"),
        (["--arch", "mlp", "--seed", "-1"], "--seed must be in"),
        (["--arch", "mlp", "--batch_size", "0"], "at least 1"),
        (["--arch", "mlp", "--name", "/tmp/run"], "below lightning_logs"),
        (["--arch", "mlp", "--name", "../run"], "below lightning_logs"),
        (["--arch", "mlp", "--resume"], "--resume needs the --name"),
        (["--arch", "mlp", "--unknown", "1"], "unrecognized arguments: --unknown"),
        (["--arch", "mlp", "--lrate", "1"], "unrecognized arguments: --lrate=1: did you mean --lr?"),
        (["--arch", "mlp", "--epoch", "1"], "unrecognized arguments: --epoch=1: did you mean --epochs?"),
        (["--arch", "mlp", "--val_size", "1"], "did you mean --data.val_size?"),
        (["--arch", "mlp", "--config", "missing.yaml"], r"missing\.yaml"),
        (["--arch", "mlp", "--trainer.barebones", "true"], "every run can be resumed: leave --trainer.barebones"),
        (["--arch", "mlp", "--trainer.limit_train_batches", "0"], "limit_train_batches must be above 0"),
        (["--arch", "mlp", "--trainer.max_steps", "10", "--epochs", "0"], "--epochs must be at least 1"),
        (["--arch", "mlp", "--trainer.accelerator", "abacus"], "invalid accelerator"),
        (["--arch", "mlp", "--trainer.strategy", "fsdp", "--trainer.accelerator", "cpu"], "requires a GPU accelerator"),
        (["--arch", "mlp", "--trainer.strategy", "ddp_spawn"], "forks are not supported: give --trainer.strategy ddp"),
    ],
)
def test_wrong_usage_is_one_line(flags: list[str], message: str, workspace: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Run(Config.parse(flags))
    assert "\n" not in str(caught.value)
    assert list(workspace.iterdir()) == []


def test_the_time_that_processes_wait_for_each_other_can_be_given(workspace: Path) -> None:
    """In a config; on the command line as in docs/manual/cluster.md, see above."""
    strategy = "class_path: DDPStrategy, init_args: {timeout: '0:05:00'}"
    Path("own.yaml").write_text(f"{{arch: mlp, trainer: {{accelerator: cpu, strategy: {{{strategy}}}}}}}")
    trainer = make_trainer(Config.parse(["--config", "own.yaml"]), workspace)
    assert isinstance(trainer.strategy, DDPStrategy)
    assert trainer.strategy._timeout == timedelta(minutes=5)
