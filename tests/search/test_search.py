"""A search end to end, with real runs: its trials, its files, and its errors."""

import csv
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from convblocks.compare.options import config_of
from convblocks.errors import UsageError, UserError
from convblocks.run.directory import LOGS, RunDirectory
from convblocks.search import command as search
from tests.data.pictures import write_pictures
from tests.scripts import run_script
from tests.search.made_up import ONE_JOB, SHORT, numbers

# Two networks, of which the second is the first by its class, which trains in no time.
NETWORKS = ["mlp", "convblocks.model.networks.MultiLayerPerceptron"]
WHOLE = [*SHORT[2:], "--arch", *NETWORKS, "--trials", "8", "--confirm", "2", "--seeds", "2", "--name", "s"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search of two networks, with two jobs, that has been confirmed and reported; only for reading."""
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["convblocks"])
        search.main([*WHOLE, "--jobs", "2"])
    return folder / LOGS / "s"


def numbers_of(done: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((done / "search.json").read_text())
    return found


@pytest.mark.slow
def test_a_search_leaves_its_files_and_its_trials_in_tensorboard(done: Path) -> None:
    trials = {f"trial_{number}" for number in range(8)}
    names = {path.name for path in done.iterdir() if not path.name.startswith(".")}
    report = {"search", "search.html", "search.md", "search.json", "search.csv", "search.png"}
    assert names == report | {"journal.log", "logs", "confirm"} | trials
    with (done / "search.csv").open() as file:
        assert [row["trial"] for row in csv.DictReader(file)] == [str(number) for number in range(8)]
    for one in numbers_of(done)["trials"]:
        assert (
            RunDirectory(f"s/trial_{one['number']}", done.parents[1]).read_config()["model"]["init_args"]["arch"]
            == one["params"]["arch"]
        )
    assert {path.name for path in (done / "search").iterdir() if path.is_dir()} == trials
    assert EventAccumulator(str(done / "search" / "trial_3")).Reload().Tags()["scalars"] == ["when_done/val_acc"]
    assert EventAccumulator(str(done / "search")).Reload().Tags()["images"] == ["visuals/search"]


@pytest.mark.slow
def test_the_best_settings_and_the_default_are_trained_with_fresh_seeds_on_all_images(done: Path) -> None:
    confirmed = numbers_of(done)["confirmed"]
    assert [one["summary"]["runs"] for one in confirmed] == [2, 2, 2]
    best, default = confirmed[0], confirmed[-1]
    assert best == max(confirmed[:2], key=lambda one: one["seen"])
    assert (default["name"], default["summary"]["arch"]) == ("default", "mlp")
    assert best["optimism"] == pytest.approx(best["seen"] - best["summary"]["score"]["value"])
    means = [one["summary"]["score"]["value"] for one in (best, default)]
    assert best["difference"]["value"] == pytest.approx(means[0] - means[1])
    runs = [path.parent.relative_to(done.parent) for path in (done / "confirm").rglob("summary.json")]
    assert len(runs) == 6
    for result in [RunDirectory(str(run), done.parents[1]).read_result() for run in runs]:
        assert result.seed in (1, 2)
        assert result.facts["images"]["train"] == 60_000
        assert not any("test/acc" in row for row in result.epochs[:-1])


@pytest.mark.slow
def test_the_command_in_the_report_writes_the_winners_config(done: Path) -> None:
    found = numbers_of(done)
    assert found["winner"] in (done / "search.md").read_text()
    assert found["winner"].startswith("convblocks fit ")
    _, _, *arguments = shlex.split(found["winner"].partition(" > ")[0])
    printed = yaml.safe_load(run_script("fit", *arguments, cwd=done).stdout)
    best = max((one for one in found["trials"] if one["ended"] == "complete"), key=lambda one: float(one["score"]))
    model, data = (printed[group]["init_args"] for group in ("model", "data"))
    assert model["arch"] == best["params"]["arch"]
    assert model["lr"] == pytest.approx(best["params"]["lr"], rel=1e-3)
    assert data["batch_size"] == int(best["params"]["batch_size"])
    assert data["val_size"] == 0


@pytest.mark.slow
def test_a_finished_search_is_only_reported_again(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done.parents[1])
    before = [(done / name).read_text() for name in ("search.md", "journal.log")]
    search.main([*WHOLE, "--no-fit"])
    search.main(WHOLE)
    assert [(done / name).read_text() for name in ("search.md", "journal.log")] == before


@pytest.mark.slow
def test_fit_carries_on_with_a_pruned_trial(done: Path) -> None:
    number = next(one["number"] for one in numbers_of(done)["trials"] if one["ended"] == "pruned")
    finished = run_script("fit", "--name", f"s/trial_{number}", "--resume", "--epochs", "3", cwd=done.parents[1])
    assert finished.returncode == 0, finished.stderr
    assert len(RunDirectory(f"s/trial_{number}", done.parents[1]).read_result().epochs) == 3


FRAGILE_SEARCH = ["--arch", "fragile.Fragile", "--space", "network.hidden=16|24", *SHORT[4:], *ONE_JOB]

FRAGILE = """
import torch
from torch import nn


class Fragile(nn.Sequential):
    def __init__(self, hidden: int):
        super().__init__(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, images):
        if len(self[1].weight) == 24 and self.training and len(images) == 64:
            raise {error}("24 is too much")
        return super().forward(images)
"""


@pytest.mark.slow
def test_a_failed_trial_is_named_and_the_search_goes_on(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "fragile.py").write_text(FRAGILE.replace("{error}", "torch.OutOfMemoryError"))
    with pytest.raises(UserError, match=r"of 4 failed; trial_.: fit does not take these settings"):
        search.main([*FRAGILE_SEARCH, "--trials", "4", "--name", "fragile"])
    trials = numbers("fragile")["trials"]
    failed = [one for one in trials if one["ended"] == "failed"]
    assert {one["params"]["network.hidden"] for one in failed} == {"24"}
    assert {one["params"]["network.hidden"] for one in trials if one not in failed} == {"16"}
    number = failed[0]["number"]
    line = f"{number + 1}/4  trial_{number}  FAILED, fit does not take these settings: see lightning_logs/fragile/logs/"
    assert line in capsys.readouterr().out
    assert "too little memory" in (LOGS / "fragile" / "logs" / f"fragile_trial_{number}.log").read_text()


@pytest.mark.slow
def test_once_a_networks_bug_is_mended_the_same_command_goes_on(workspace: Path) -> None:
    command = [*FRAGILE_SEARCH, "--trials", "4", "--name", "mended"]
    (workspace / "fragile.py").write_text(FRAGILE.replace("{error}", "ArithmeticError"))
    with pytest.raises(UserError, match=r"trial_. of mended failed: see .*; the same command carries on"):
        search.main(command)
    assert any("24 is too much" in path.read_text() for path in (LOGS / "mended" / "logs").iterdir())
    (workspace / "fragile.py").write_text(FRAGILE.replace("== 24", "== 0"))
    search.main(command)
    assert [one["ended"] for one in numbers("mended")["trials"]] == 4 * ["complete"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--space", "speed=1..2"], "unrecognized arguments: --speed"),
        (["--space", "lr=fast|slow"], "lr.*fast"),
        (["--space", "lr=0.0..1.0"], "the learning rate must be above 0"),
        (["--space", "lr=1e-3..1e-1", "--lr", "0.1"], "--space lr: this option is set for all trials already"),
        (["--space", "network.hidden=3..4"], "none of these networks takes arguments"),
        (
            ["--data.val_size", "0"],
            "a search chooses by validation data: give --judge a metric of these, or --data.val",
        ),
        (["--trainer.limit_val_batches", "0"], "a search chooses by validation data"),
        (["--trials", "0"], "--trials must be 1 to"),
        (["--jobs", "0"], "--jobs must be 1 to"),
        (["--seeds", "0"], "--seeds must be 1 to"),
        (["--confirm", "-1"], "--confirm must be 0 to"),
        (["--seed", "-1"], "--seed must be in"),
        (["--sampler", "grid"], "invalid choice: 'grid'"),
        (["--arch", "resnet"], "unknown architecture 'resnet'"),
        (["--resume", "true"], "--resume is set by the search itself"),
        (["--unknown", "1"], "unrecognized arguments: --unknown"),
        (["stray"], "unrecognized argument: stray"),
        (["--name", "../elsewhere"], "below lightning_logs"),
    ],
)
def test_wrong_usage_is_one_line(flags: list[str], message: str, workspace: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        search.main(["--arch", "mlp", "--data.val_size", "500", *flags])
    assert "\n" not in str(caught.value)
    assert list(workspace.iterdir()) == []


def test_without_a_network_or_a_search_nothing_is_begun(workspace: Path) -> None:
    with pytest.raises(UsageError, match="--arch is required"):
        search.main(["--data.val_size", "500"])
    with pytest.raises(UserError, match="there is no search lightning_logs/s: leave out --no-fit to begin it"):
        search.main([*SHORT, "--name", "s", "--no-fit"])
    assert list(workspace.iterdir()) == []


def test_without_test_images_nothing_can_be_confirmed(workspace: Path) -> None:
    write_pictures(workspace / "shapes", train=40, test=0)
    data = ["--data.root", "shapes", "--data.val_size", "8", "--batch_size", "8"]
    config = search.parse(["--arch", "mlp", *data]).config
    with pytest.raises(UsageError, match="shapes has no test images to judge the best settings by: give --confirm 0"):
        search.check(config, confirms=True)
    chance, fingerprint = search.check(config, confirms=False)
    assert chance
    assert fingerprint


def test_an_option_that_is_set_for_all_trials_is_not_in_the_default_space(workspace: Path) -> None:
    write_pictures(workspace / "shapes", train=100)
    data = ["--data.root", "shapes", "--data.val_size", "8", "--data.size", "32", "40"]
    config = search.parse(["--arch", "mlp", "--lr", "0.01", *data]).config
    assert "lr" not in config.space
    assert "batch_size" in config.space
    assert config_of(config.trial(0, {})).settings["model"]["init_args"]["lr"] == 0.01
    assert ("data.size", "[32, 40]") in config.overrides
