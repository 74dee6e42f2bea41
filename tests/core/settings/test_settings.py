"""A setting is never lost or changed in silence: what is given is what a resume reads."""

import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse.typing import register_type

from convblocks.errors import UsageError
from convblocks.model.names import RECORDS
from convblocks.record.directory import RunDirectory
from convblocks.settings.config import Config
from convblocks.settings.saved import is_same
from convblocks.text import as_yaml
from tests.any_task import odd_settings
from tests.any_task.odd_settings import MODULES
from tests.conftest import REPOSITORY

ODD = "tests.any_task.odd_settings"

# What may be given for a parameter; of the others, only the default is tried.
GIVEN = {
    "Set": "[1, 2]",
    "FrozenSet": '["b"]',
    "Bytes": "Yg==",
    "Deque": "[2]",
    "Layers": "[{units: 4}]",
    "Layer": "{units: 5}",
    "Colours": "{BLUE: 2}",
    "Colour": "BLUE",
    "OptionalPath": "a/b",
    "Pair": "[3, 4]",
    "Kind": "torch.nn.Tanh",
    "Called": "torch.tanh",
    "Number": "1",
    "Text": "1e3",
    "Something": "{a: [1, 2]}",
}
REQUIRED = {"Set"}

CASES = [*((name, "") for name in MODULES.keys() - REQUIRED), *GIVEN.items()]


def read_again(words: list[str], folder: Path) -> tuple[Config, Config, Config]:
    """A command line parsed, from its own config, and on a resume of its run."""
    config = Config.parse([*words, "--name", "run"])
    again = Config.parse(["--config", as_yaml(config.settings), "--name", "run"])
    run = RunDirectory("run")
    run.create()
    run.write_config(config.settings)
    return config, again, Config.parse(["--name", "run", "--resume"])


# Of some types in the fast part, with and without a value.
FAST = ("Layer", "Number", "Set", "Text")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(*case, marks=() if case[0] in FAST else pytest.mark.slow)
        for case in sorted(CASES)
    ],
)
def test_parameter_of_any_type_is_read_back_as_it_was(
    name: str, text: str, workspace: Path
) -> None:
    words = ["--model", f"{ODD}.{name}Odd"] + ([f"--model.x={text}"] if text else [])
    values = [config.arguments("model").get("x") for config in read_again(words, workspace)]
    assert is_same(values[0], values[1])
    assert is_same(values[0], values[2])


def test_plain_values_are_saved_as_they_were_given(workspace: Path) -> None:
    config, again, resumed = read_again(
        ["--arch", "mlp", "--trainer.max_time={hours: 1}"], workspace
    )
    assert config.settings["trainer"]["max_time"] == {"hours": 1}
    assert again.settings == resumed.settings == config.settings


class Ticket:
    """Another one each time that it is read."""


def test_value_that_cannot_be_read_back_is_refused(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_type(Ticket, deserializer=lambda text: Ticket(), fail_already_registered=False)
    monkeypatch.setattr(odd_settings, "TicketOdd", odd_settings.module(Ticket), raising=False)
    with pytest.raises(
        UsageError, match=r"^--model\.x: .* cannot be saved in a form that a resume"
    ):
        Config.parse(["--model", f"{ODD}.TicketOdd", "--model.x=1"])


BARE = ["--model", "tests.any_task.bare.Bare", "--data", "tests.any_task.bare.Read"]


@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "adam", "--lr_scheduler", "cosine"],
        ["--optimizer", "RAdam", "--optimizer.betas", "[0.5, 0.9]", "--optimizer.lr", "1e-3"],
        [
            "--config",
            "{optimizer: {class_path: SGD, init_args: {lr: 1e-3}}, lr_scheduler: StepLR}",
            "--lr_scheduler.step_size",
            "2",
        ],
    ],
)
def test_optimizer_of_a_module_without_one_is_read_back(
    options: list[str], workspace: Path
) -> None:
    config, again, resumed = read_again([*BARE, *options], workspace)
    assert again.settings == resumed.settings == config.settings
    assert config.settings["optimizer"] == config.effective(config.settings)["optimizer"]
    assert config.settings["from_data"] == ["width"]
    nulls = Config.parse([*BARE, "--config", "{optimizer: null, lr_scheduler: null}"]).settings
    assert not {"optimizer", "lr_scheduler"} & nulls.keys()
    assert config.arguments("model") == resumed.arguments("model") == {"width": 6}


NUMBERS = st.floats(1e-6, 1e3, allow_nan=False).map(str)
OPTIONS: dict[str, st.SearchStrategy[str]] = {
    "lr": NUMBERS,
    "batch_size": st.integers(1, 10**6).map(str),
    "epochs": st.integers(1, 10**4).map(str),
    "seed": st.integers(0, 2**32 - 1).map(str),
    "threads": st.integers(1, 64).map(str),
    "optimizer": st.sampled_from(["adam", "sgd", "adamw", "RAdam", "torch.optim.NAdam"]),
    "optimizer.weight_decay": NUMBERS,
    "optimizer.eps": NUMBERS,
    "lr_scheduler": st.sampled_from(["constant", "ExponentialLR", "StepLR"]),
    "loss": st.sampled_from(["cross_entropy", "NLLLoss"]),
    "data.val_size": st.integers(0, 10**4).map(str),
    "data.shift": st.integers(0, 5).map(str),
    "data.root": st.sampled_from(["pictures", "a b", "1e3", "x: y", "tränen", "~/pictures"]),
    "data.rotation": NUMBERS,
    "trainer.limit_train_batches": st.sampled_from(["1", "1.0", "0.5", "20"]),
    "trainer.gradient_clip_val": NUMBERS,
    "trainer.accumulate_grad_batches": st.integers(1, 9).map(str),
    "trainer.precision": st.sampled_from(["32-true", "64", "bf16-mixed"]),
    "trainer.max_time": st.sampled_from(["00:00:10:00", "{hours: 1}"]),
    "trainer.logger": st.sampled_from(
        ["false", "true", "{class_path: CSVLogger, init_args: {save_dir: logs}}"]
    ),
    "trainer.profiler": st.sampled_from(["simple", "SimpleProfiler"]),
    "trainer.detect_anomaly": st.sampled_from(["true", "false"]),
}


@given(data=st.data())
@settings(deadline=None, max_examples=30)
def test_settings_are_read_back_as_they_were(data: st.DataObject) -> None:
    """From a config, short and full names mixed, with dotted keys in any order."""
    chosen = data.draw(st.lists(st.sampled_from(sorted(OPTIONS)), unique=True, max_size=8))
    options = {name: data.draw(OPTIONS[name]) for name in chosen}
    words = ["--arch=mlp", *(f"--{name}={value}" for name, value in options.items())]
    config = Config.parse(words)
    assert Config.parse(["--config", as_yaml(config.settings)]) == config
    in_config = data.draw(st.permutations([f"{name}: {value}" for name, value in options.items()]))
    if not {"data.root"} & options.keys():
        assert Config.parse(["--config", "\n".join(["arch: mlp", *in_config])]) == config


def commands_of_manuals() -> list[str]:
    """Those that train a network of ours on MNIST, without a wing's options."""
    commands = []
    # A copy of the core alone has none.
    for path in [*REPOSITORY.glob("README.md"), *sorted(REPOSITORY.glob("docs/manual/*.md"))]:
        text = path.read_text().replace("\\\n", " ")
        for line in re.findall(
            rf"^python scripts/fit\.py (.*--arch (?:{'|'.join(RECORDS)}).*)", text, re.M
        ):
            if not re.search(r"mymodule|Wandb|--trainer.devices|data.root", line):
                commands.append(line)
    return commands


@pytest.mark.parametrize("command", commands_of_manuals())
def test_commands_of_the_manuals_are_read_back(command: str, workspace: Path) -> None:
    words = [word for word in shlex.split(command) if word not in ("--check_resume", "--fast")]
    words = re.sub(r"--name \S+", "", shlex.join(words)).split() if "--name" in words else words
    config, again, resumed = read_again(words, workspace)
    assert again.settings == resumed.settings == config.settings
