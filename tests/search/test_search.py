"""A search end to end, with real runs: its trials, its files, and its errors."""

import csv
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

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
def test_a_search_leaves_its_files_and_its_trials(done: Path) -> None:
    trials = {f"trial_{number}" for number in range(8)}
    names = {path.name for path in done.iterdir() if not path.name.startswith(".")}
    report = {"search.html", "search.md", "search.json", "search.csv", "search.png"}
    assert names == report | {"journal.log", "logs", "confirm"} | trials
    with (done / "search.csv").open() as file:
        assert [row["trial"] for row in csv.DictReader(file)] == [str(number) for number in range(8)]
    for row in numbers_of(done)["trials"]:
        config = RunDirectory(f"s/trial_{row['trial']}", done.parents[1]).read_config()
        assert config["model"]["init_args"]["arch"] == row["arch"]


@pytest.mark.slow
def test_the_best_settings_and_the_default_are_trained_with_fresh_seeds_on_all_images(done: Path) -> None:
    confirmed = numbers_of(done)["confirmed"]
    assert [setting["trained"] for setting in confirmed] == ["2/2"] * 3
    best, default = confirmed[0], confirmed[-1]
    assert best["seen"] == max(setting["seen"] for setting in confirmed[:2])
    assert (default["name"], default["seen"]) == ("default", None)
    means = [setting["score"]["value"] for setting in (best, default)]
    assert best["difference"]["value"] == pytest.approx(means[0] - means[1])
    runs = [path.parent.relative_to(done.parent) for path in (done / "confirm").rglob("summary.json")]
    assert len(runs) == 6
    for result in [RunDirectory(str(run), done.parents[1]).read_result() for run in runs]:
        assert result.seed in (1, 2)
        assert result.facts["images"]["train"] == 60_000
        assert not any("test/acc" in row for row in result.epochs[:-1])


@pytest.mark.slow
def test_the_command_in_the_report_writes_the_defaults_config_which_two_seeds_cannot_beat(done: Path) -> None:
    command = numbers_of(done)["command"]
    assert command in (done / "search.md").read_text()
    assert command.startswith("convblocks fit ")
    _, _, *arguments = shlex.split(command.partition(" > ")[0])
    printed = yaml.safe_load(run_script("fit", *arguments, cwd=done).stdout)
    assert "lr" not in command
    assert printed["data"]["init_args"]["val_size"] == 0


@pytest.mark.slow
def test_a_finished_search_is_only_reported_again(
    done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(done.parents[1])
    before = [(done / name).read_text() for name in ("search.md", "journal.log")]
    search.main([*WHOLE, "--no-fit"])
    search.main(WHOLE)
    assert [(done / name).read_text() for name in ("search.md", "journal.log")] == before
    assert "confirming run" not in capsys.readouterr().out


@pytest.mark.slow
def test_fit_carries_on_with_a_pruned_trial(done: Path) -> None:
    number = next(row["trial"] for row in numbers_of(done)["trials"] if row["ended"] == "pruned")
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
    failed = [row for row in trials if row["ended"] == "failed"]
    assert {row["network.hidden"] for row in failed} == {"24"}
    assert {row["network.hidden"] for row in trials if row not in failed} == {"16"}
    number = failed[0]["trial"]
    line = f"{number + 1}/4  trial_{number}: FAILED, fit does not take these settings: see lightning_logs/fragile/logs/"
    assert line in capsys.readouterr().out
    assert "too little memory" in (LOGS / "fragile" / "logs" / f"fragile_trial_{number}.log").read_text()


@pytest.mark.slow
def test_once_a_networks_bug_is_mended_the_same_command_goes_on(workspace: Path) -> None:
    command = [*FRAGILE_SEARCH, "--trials", "4", "--name", "mended"]
    (workspace / "fragile.py").write_text(FRAGILE.replace("{error}", "ArithmeticError"))
    with pytest.raises(UserError, match=r"trial_. of mended was killed or failed 3 times: see .*; the same command"):
        search.main(command)
    assert any("24 is too much" in path.read_text() for path in (LOGS / "mended" / "logs").iterdir())
    (workspace / "fragile.py").write_text(FRAGILE.replace("== 24", "== 0"))
    search.main(command)
    assert [row["ended"] for row in numbers("mended")["trials"]] == 4 * ["complete"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--space", "speed=1..2"], "speed"),
        (["--space", "lr=fast|slow"], "lr.*fast"),
        (["--space", "lr=1e-3..1e-1", "--lr", "0.1"], "--space lr=.*: this option is the same for all trials"),
        (["--space", "network.hidden=3..4"], "none of these networks takes arguments"),
        (
            ["--data.val_size", "0"],
            "a search chooses by validation data: give --judge a metric of these, or --data.val",
        ),
        (["--trainer.limit_val_batches", "0"], "a search chooses by validation data"),
        (["--trials", "0"], "--trials must be 1 to"),
        (["--confirm", "-1"], "--confirm must be 0 to"),
        (["--seed", "-1"], "-1"),
        (["--seed", "4294967292"], "leaves no 5 seeds below"),
        (["--sampler", "grid"], "invalid choice: 'grid'"),
        (["--resume", "true"], "--resume is set by the search itself"),
        (["--unknown", "1"], "unrecognized arguments: --unknown"),
        (["--name", "../elsewhere"], "below lightning_logs"),
        (["--no-fit"], "there is no search lightning_logs/search: leave out --no-fit to begin it"),
        (
            ["--data.root", "shapes", "--batch_size", "8"],
            "shapes has no test images to judge the best settings by: give --confirm 0",
        ),
    ],
)
def test_wrong_usage_is_one_line(flags: list[str], message: str, workspace: Path) -> None:
    write_pictures(workspace / "shapes", train=100, test=0)
    with pytest.raises(UserError, match=message) as caught:
        search.main(["--arch", "mlp", "--jobs", "1", "--data.val_size", "8", *flags])
    assert "\n" not in str(caught.value)
    assert [path.name for path in workspace.iterdir()] == ["shapes"]


def test_a_network_must_be_named(workspace: Path) -> None:
    with pytest.raises(UsageError, match="--arch is required"):
        search.main(["--data.val_size", "500"])


def test_what_the_confirming_runs_cost_is_said_before_the_search_begins(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(search, "fit_all", lambda *_: (number for number in range(0)))
    with pytest.raises(UserError, match="no trial of s ran to its end"):
        search.main([*SHORT, "--jobs", "1", "--name", "s", "--trials", "40"])
    assert capsys.readouterr().out.startswith("40 trials, then 20 confirming runs of 2 epochs: the best settings and ")
