"""Modules and data that others have made, and what a run adds to them: functions that
make them, optimizers, arguments taken from the data.
"""

import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI, ReduceLROnPlateau

from convblocks.errors import UsageError, UserError
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from convblocks.run.make import make_run
from convblocks.settings.config import Config
from convblocks.text import as_yaml
from tests.any_task.bare import HERE as BARE
from tests.any_task.bare import POINTS, Bare, Wide
from tests.any_task.regression import Points
from tests.core.run.subjects import unlike

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # by torchdata
]

OF_OTHERS = """
import pytorch_lightning as pl

class Base(pl.LightningModule):
    pass
"""


def test_module_of_pytorch_lightning_is_told_which_import_to_change(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("of_others.py").write_text(OF_OTHERS)
    Path("theirs.py").write_text("from of_others import Base\nclass Net(Base): ...")
    Path("made.py").write_text("import theirs\ndef net() -> theirs.Net: ...")
    others = ModuleType("pytorch_lightning")
    # the one that is installed is this under another name
    other_class = type("LightningModule", (torch.nn.Module,), {"__module__": others.__name__})
    monkeypatch.setattr(others, "LightningModule", other_class, raising=False)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", others)
    for name in ("theirs.Net", "made.net"):
        with pytest.raises(
            UsageError,
            match=f"^{name} is a LightningModule of pytorch_lightning, .* "
            f"in {Path('of_others.py').absolute()}, import lightning.pytorch instead of py",
        ):
            Config.parse(["--model", name, *POINTS])
    assert sys.modules["pytorch_lightning"] is others


def test_import_of_pytorch_lightning_that_is_not_installed_is_told_too(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("of_none.py").write_text(OF_OTHERS)
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)  # as if it were not there
    with pytest.raises(
        UsageError, match=r"cannot import of_none\.Base: .* in \S+/of_none\.py, import"
    ):
        Config.parse(["--model", "of_none.Base", *POINTS])


FACTORIES = ["--model", f"{BARE}.curve", "--data", f"{BARE}.points", "--judge", "val/rmse:min"]


def test_factories_make_model_and_data_from_options(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model.width", "3", "--model.rate=0.1", "--data.noise", "0.5", "--epochs", "1"]
    fit.main([*FACTORIES, *options, "--name", "run"])
    config = Config.parse(["--name", "run", "--resume"])
    assert config.settings["model"] == {
        "class_path": f"{BARE}.curve",
        "init_args": {"width": 3, "rate": 0.1},
    }
    run = make_run(config)
    assert run.module.hparams == {"hidden": 6, "lr": 0.1}
    assert getattr(run.data, "noise", None) == 0.5
    fit.main(["--name", "run", "--resume", "--epochs", "2"])
    assert len(RunDirectory("run").read_result().epochs) == 2
    capsys.readouterr()
    with pytest.raises(SystemExit):
        Config.parse([*FACTORIES, "--help"])
    assert "Half of the hidden units." in capsys.readouterr().out


KNOWN = ["--model", f"{BARE}.Bare", "--data", f"{BARE}.Known", "--judge", "val/loss:min"]
OPTIMIZER = {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.02, "betas": [0.5, 0.9]}}


def configured(options: list[str]) -> Any:
    """What the optimizers of a module without any are made of."""
    return make_run(Config.parse([*KNOWN, *options])).module.configure_optimizers()


def test_optimizer_is_that_of_a_lightning_cli_config(workspace: Path) -> None:
    sections = {
        "optimizer": OPTIMIZER,
        "lr_scheduler": {"class_path": "StepLR", "init_args": {"step_size": 2}},
    }
    made = configured(["--config", as_yaml(sections)])
    step = made["lr_scheduler"]["scheduler"]
    assert isinstance(step, torch.optim.lr_scheduler.StepLR)
    assert (step.step_size, made["optimizer"].defaults["betas"]) == (2, (0.5, 0.9))
    words = ["--optimizer=Adam", "--optimizer.lr=0.02", "--optimizer.betas=[0.5, 0.9]"]
    cli = {
        **sections,
        "model": {"class_path": f"{BARE}.Bare", "init_args": {"width": 4}},
        "trainer": {"logger": False},
    }
    Path("cli.yaml").write_text(yaml.safe_dump(cli))
    theirs = LightningCLI(
        args=["--config", "cli.yaml"], run=False, save_config_callback=None
    ).model.configure_optimizers()
    for ours in (made["optimizer"], configured(words)):
        ours.defaults.pop("fused")
        assert ours.defaults == {name: theirs[0][0].defaults[name] for name in ours.defaults}
        assert len(ours.param_groups[0]["params"]) == 4


def test_config_of_lightning_cli_is_taken_with_its_seed_and_without_a_checkpoint(
    workspace: Path,
) -> None:
    config = {
        "seed_everything": 7,
        "trainer": {"max_epochs": 2},
        "model": {"class_path": f"{BARE}.Bare", "init_args": {"width": 4}},
        "data": {"class_path": f"{BARE}.Known"},
        "optimizer": None,
        "lr_scheduler": None,
        "ckpt_path": None,
        "weights_only": None,
    }
    parsed = Config.parse(["--config", as_yaml(config)])
    assert (parsed.settings["seed"], parsed.weights_only) == (7, True)
    parsed = Config.parse(["--config", as_yaml(config | {"seed_everything": True})])
    assert parsed.settings["seed"] == 0


COMPOSED = {
    "model": {
        "class_path": f"{BARE}.Composed",
        "init_args": {
            "activation": {"class_path": "torch.nn.ELU", "init_args": {"alpha": 2.0}},
            "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
            "limit": None,
        },
    },
    "data": {"class_path": f"{Points.__module__}.Points"},
    # as LightningCLI saves them
    "optimizer": None,
    "lr_scheduler": None,
}


def composed(*words: str) -> Any:
    """The arguments of the model."""
    settings = Config.parse(["--config", as_yaml(COMPOSED), *words]).settings
    assert Config.parse(["--config", as_yaml(settings)]).settings == settings
    return settings["model"]["init_args"]


def test_nothing_that_lightning_cli_has_saved_as_unset_hides_an_argument(workspace: Path) -> None:
    found = composed()
    assert found["optimizer"]["init_args"]["lr"] == 0.1
    assert found["limit"] is None


def test_another_class_than_that_of_a_config_has_its_own_defaults(workspace: Path) -> None:
    found = composed("--model.activation", "torch.nn.LeakyReLU")["activation"]
    assert found == {"class_path": "torch.nn.LeakyReLU"}
    words = ["--model.activation=torch.nn.LeakyReLU", "--model.activation.negative_slope=0.5"]
    assert composed(*words)["activation"]["init_args"]["negative_slope"] == 0.5
    assert composed("--model.activation", "torch.nn.ELU")["activation"]["init_args"]["alpha"] == 2


def test_words_of_lightning_cli_with_init_args_are_understood(workspace: Path) -> None:
    assert composed("--model.init_args.limit", "0.5")["limit"] == 0.5
    words = "--model.init_args.activation.init_args.alpha=3"
    assert composed(words)["activation"]["init_args"]["alpha"] == 3


def test_several_values_of_an_untyped_parameter_are_a_list(workspace: Path) -> None:
    words = ["--model", f"{BARE}.untyped", *POINTS, "--model.sizes", "8", "32"]
    arguments = {"width": 3, "sizes": [8, 32]}
    assert Config.parse([*words, "--model.width=3"]).arguments("model") == arguments
    # as somebody has written it
    arguments = {"width": [3, 4], "sizes": [8, 32]}
    assert Config.parse([*words, "--model.width=[3, 4]"]).arguments("model") == arguments


def test_resume_of_another_model_names_both(workspace: Path) -> None:
    fit.main([*KNOWN, "--epochs=1", "--optimizer=sgd", "--name=run"])
    with pytest.raises(UsageError, match=f"^run is a run of {BARE}.Bare, not {BARE}.Tuned$"):
        fit.main(["--model", f"{BARE}.Tuned", *POINTS, "--name", "run", "--resume"])


def test_optimizer_of_the_settings_takes_the_place_of_none(workspace: Path) -> None:
    chosen = ["--optimizer", "sgd", "--optimizer.lr", "0.1"]
    run = make_run(Config.parse([*unlike("Untrained"), *chosen]))
    made: Any = run.module.configure_optimizers()
    assert (type(made), made.defaults["lr"]) == (torch.optim.SGD, 0.1)


@pytest.mark.parametrize("name", ["ReduceLROnPlateau", "lightning.pytorch.cli.ReduceLROnPlateau"])
def test_schedule_watches_the_metric_that_it_is_given(name: str, workspace: Path) -> None:
    made = configured(
        ["--optimizer=sgd", f"--lr_scheduler={name}", "--lr_scheduler.monitor=val/loss"]
    )
    assert made["lr_scheduler"]["monitor"] == "val/loss"
    assert isinstance(made["lr_scheduler"]["scheduler"], torch.optim.lr_scheduler.ReduceLROnPlateau)
    assert isinstance(made["lr_scheduler"]["scheduler"], ReduceLROnPlateau) is ("." in name)


def test_parameter_of_the_name_of_a_section_is_the_modules(workspace: Path) -> None:
    tuned = ["--model", f"{BARE}.Tuned", *POINTS, "--optimizer", "adam", "--lr_scheduler", "mine"]
    config = Config.parse(tuned)
    assert config.settings["model"]["init_args"] == {"lr_scheduler": "mine"}
    assert config.settings["optimizer"] == "adam"


def test_run_whose_schedule_spans_it_cannot_be_longer(workspace: Path) -> None:
    fit.main([*KNOWN, "--epochs=1", "--optimizer=sgd", "--lr_scheduler=onecycle", "--name=run"])
    assert RunDirectory("run").read_result().epochs[0]["train/lr"] < 1e-6
    with pytest.raises(UserError, match="max_epochs=1, not 2"):
        fit.main(["--name", "run", "--resume", "--epochs", "2"])
    with pytest.raises(UserError, match="was begun with optimizer=sgd, not adam"):
        fit.main(["--name", "run", "--resume", "--epochs", "2", "--optimizer", "adam"])


def global_numbers() -> tuple[Any, ...]:
    of_numpy: Any = np.random.get_state()
    return torch.get_rng_state().tolist(), random.getstate(), of_numpy[1].tolist()


@pytest.mark.parametrize(("data", "width"), [("Known", 4), ("Read", 6)])
def test_arguments_that_nobody_gives_are_taken_from_the_data(
    data: str, width: int, workspace: Path
) -> None:
    words = ["--model", f"{BARE}.Wide", "--data", f"{BARE}.{data}", "--judge", "val/rmse:min"]
    before = global_numbers()
    config = Config.parse(words)
    assert global_numbers() == before
    assert config.settings["from_data"] == ["width", "shape"]
    assert config.arguments("model") == {"width": width, "shape": (1, width), "lr": 0.01}
    given = ["--model.width", str(width), "--model.shape", f"[1, {width}]"]
    assert "from_data" not in Config.parse([*words, *given]).settings
    for options in (words, [*words, *given]):
        name = f"run{len(options)}"
        fit.main([*options, "--epochs", "1", "--name", name])
    runs = [RunDirectory(f"run{len(options)}") for options in (words, [*words, *given])]
    states = [torch.load(run.last_checkpoint)["state_dict"] for run in runs]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    loaded = Wide.load_from_checkpoint(runs[0].last_checkpoint)
    assert loaded.hparams["width"] == width


def test_config_takes_them_from_other_data_anew(workspace: Path) -> None:
    saved = as_yaml(Config.parse(KNOWN).settings)
    for options, width in (([], 4), (["--data.width", "9"], 9), (["--model.width=7"], 7)):
        config = Config.parse(["--config", saved, *options])
        assert config.settings["model"]["init_args"] == {"width": width}
    fit.main([*KNOWN, "--optimizer", "sgd", "--epochs", "1", "--name", "run"])
    # Comparisons resume new runs, and give the same words to a begun one.
    words = ["--config", saved, "--data.width", "9", "--resume", "--name"]
    assert Config.parse([*words, "new"]).settings["model"]["init_args"] == {"width": 9}
    assert Config.parse([*words, "run"]).settings["model"]["init_args"] == {"width": 4}
    assert Config.parse([*words, "run"]).settings["from_data"] == ["width"]
    with pytest.raises(UserError, match=r"was begun with model\.width=4, not 5"):
        fit.main(["--name", "run", "--resume", "--model.width", "5", "--epochs", "2"])
    assert Bare.load_from_checkpoint(RunDirectory("run").last_checkpoint).hparams["width"] == 4


def test_arguments_that_are_handed_on_are_taken_from_the_data_and_are_no_sections(
    workspace: Path,
) -> None:
    words = ["--model", f"{BARE}.Forwarding", "--data", f"{BARE}.Known"]
    config = Config.parse([*words, "--config", "model: {optimizer: {lr: 0.1}}"])
    assert config.settings["from_data"] == ["width"]
    assert config.arguments("model") == {"width": 4, "optimizer": {"lr": 0.1}, "extra": 1}


def test_help_says_what_the_data_may_give(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        Config.parse([*KNOWN, "--help"])
    answer = " ".join(capsys.readouterr().out.split())
    assert "--model.width WIDTH If not given, the data's value." in answer
    assert "--optimizer OPTIMIZER For a model without configure_optimizers." in answer
