"""A search end to end, with real runs: what it trains, what it leaves, what it refuses."""

import csv
import json
import shlex
from pathlib import Path

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from convblocks.comparison.options import fit_settings
from convblocks.errors import UsageError, UserError
from convblocks.runs.directory import LOGS, RunDirectory
from convblocks.search import search
from tests.data.pictures import write_pictures
from tests.scripts import run_script
from tests.search.made_up import ONE_JOB, SHORT, numbers


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a search of eight trials has been confirmed and reported; only for reading."""
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        search.main([*SHORT, "--trials", "8", "--jobs", "2", "--confirm", "2", "--seeds", "2", "--name", "s"])
    return folder


@pytest.mark.slow
def test_a_search_leaves_its_files(done: Path) -> None:
    folder = done / LOGS / "s"
    names = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    report = {"search", "search.md", "search.json", "search.csv", "search.png", "search-dark.png"}
    assert names == report | {"journal.log", "logs", "confirm"} | {f"trial_{number}" for number in range(8)}
    with (folder / "search.csv").open() as file:
        assert [row["trial"] for row in csv.DictReader(file)] == [str(number) for number in range(8)]


@pytest.mark.slow
def test_the_best_settings_and_the_default_are_trained_with_fresh_seeds_on_all_images(done: Path) -> None:
    confirmed = json.loads((done / LOGS / "s" / "search.json").read_text())["confirmed"]
    assert [one["name"] for one in confirmed][-1] == "default"
    assert [one["row"]["runs"] for one in confirmed] == [2, 2, 2]
    best = max(confirmed[:2], key=lambda one: one["seen"])
    assert best == confirmed[0]
    assert best["optimism"] == pytest.approx(best["seen"] - best["row"]["accuracy"]["mean"])
    assert best["difference"]["difference"] == pytest.approx(
        best["row"]["accuracy"]["mean"] - confirmed[-1]["row"]["accuracy"]["mean"]
    )
    runs = [json.loads(path.read_text()) for path in (done / LOGS / "s" / "confirm").rglob("summary.json")]
    assert {run["seed"] for run in runs} == {1, 2}
    assert {run["data"]["train_images"] for run in runs} == {60_000}
    assert all("test/acc" not in row or row is run["epochs"][-1] for run in runs for row in run["epochs"])


@pytest.mark.slow
def test_the_command_in_the_report_writes_the_winners_config(done: Path) -> None:
    found = json.loads((done / LOGS / "s" / "search.json").read_text())
    assert found["winner"] in (done / LOGS / "s" / "search.md").read_text()
    _, script, *arguments = shlex.split(found["winner"].partition(" > ")[0])
    assert script == "scripts/fit.py"
    printed = yaml.safe_load(run_script("fit", *arguments, cwd=done).stdout)
    best = max((one for one in found["trials"] if one["ended"] == "complete"), key=lambda one: float(one["accuracy"]))
    assert printed["lr"] == pytest.approx(best["params"]["lr"], rel=1e-3)
    assert printed["batch_size"] == int(best["params"]["batch_size"])
    assert printed["data"]["val_size"] == 0


@pytest.mark.slow
def test_each_trial_is_in_tensorboards_hparams(done: Path) -> None:
    folder = done / LOGS / "s" / "search"
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {f"trial_{number}" for number in range(8)}
    events = EventAccumulator(str(folder / "trial_3")).Reload()
    assert events.Tags()["scalars"] == ["when_done/val_acc"]
    pictures = EventAccumulator(str(folder)).Reload().Tags()["images"]
    assert set(pictures) == {f"visuals/search/{name}" for name in ("lr", "batch_size", "importance", "trials")}


@pytest.mark.slow
def test_what_is_done_is_only_reported_again(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(done)
    before = (LOGS / "s" / "search.md").read_text(), (LOGS / "s" / "journal.log").read_text()
    search.main([*SHORT, "--trials", "8", "--confirm", "2", "--seeds", "2", "--name", "s", "--no-fit"])
    search.main([*SHORT, "--trials", "8", "--confirm", "2", "--seeds", "2", "--name", "s"])
    assert ((LOGS / "s" / "search.md").read_text(), (LOGS / "s" / "journal.log").read_text()) == before


@pytest.mark.slow
@pytest.mark.parametrize("which", ["pruned", "complete"])
def test_a_trial_is_a_run_that_fit_carries_on(which: str, done: Path) -> None:
    found = json.loads((done / LOGS / "s" / "search.json").read_text())["trials"]
    number = next(one["number"] for one in found if one["ended"] == which)
    finished = run_script("fit", "--name", f"s/trial_{number}", "--resume", "--epochs", "3", cwd=done)
    assert finished.returncode == 0, finished.stderr
    assert len(RunDirectory(f"s/trial_{number}", done).read_result().epochs) == 3


@pytest.mark.slow
def test_networks_may_be_searched_and_compared_with_the_first_ones_default(workspace: Path) -> None:
    flags = ["--arch", "mlp", "maxpool", *SHORT[2:], "--epochs", "1", "--trials", "4", "--name", "two"]
    search.main([*flags, "--confirm", "4", "--seeds", "1"])
    found = numbers("two")
    assert {one["params"]["arch"] for one in found["trials"]} == {"mlp", "maxpool"}
    assert found["confirmed"][-1]["row"]["arch"] == "mlp"
    for one in found["trials"]:
        assert RunDirectory(f"two/trial_{one['number']}").read_config()["arch"] == one["params"]["arch"]


FRAGILE = """
from torch import nn


class Fragile(nn.Module):
    def __init__(self, hidden: int):
        super().__init__()
        self.hidden = hidden
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, images):
        if self.hidden == 24 and self.training and len(images) == 64:
            raise ArithmeticError("24 is too much")
        return self.layers(images)
"""


@pytest.mark.slow
def test_a_trial_that_fails_is_told_and_the_search_goes_on(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workspace / "fragile.py").write_text(FRAGILE)
    flags = ["--arch", "fragile.Fragile", "--space", "network.hidden=16|24", *SHORT[4:], *ONE_JOB]
    search.main([*flags, "--trials", "4", "--name", "fragile"])
    trials = numbers("fragile")["trials"]
    failed = [one for one in trials if one["ended"] == "failed"]
    assert {one["params"]["network.hidden"] for one in failed} == {"24"}
    assert {one["params"]["network.hidden"] for one in trials if one not in failed} == {"16"}
    number = failed[0]["number"]
    told = f"{number + 1}/4  trial_{number}  FAILED, it ended with status 1: see lightning_logs/fragile/logs/"
    assert told in capsys.readouterr().out
    assert "24 is too much" in (LOGS / "fragile" / "logs" / f"fragile_trial_{number}.log").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--space", "speed=1..2"], "unrecognized arguments: --speed"),
        (["--space", "lr=fast|slow"], "lr.*fast"),
        (["--space", "lr=1e-1..1e-3"], "must begin with the lower number"),
        (["--space", "lr=0.0..1.0"], "the learning rate must be above 0"),
        (["--space", "lr=1e-3..1e-1", "--lr", "0.1"], "--space lr: this option is set for all trials already"),
        (["--space", "arch=mlp|maxpool"], "this option is the same for all trials"),
        (["--space", "network.hidden=3..4"], "none of these networks takes arguments"),
        (["--data.val_size", "0"], "a search chooses by images that are held out of training: give --data.val_size"),
        (["--trainer.limit_val_batches", "0"], "a search chooses by images that are held out"),
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


def test_a_search_that_there_is_not_is_not_begun_by_a_report(workspace: Path) -> None:
    with pytest.raises(UserError, match="there is no search lightning_logs/s: leave out --no-fit to begin it"):
        search.main([*SHORT, "--name", "s", "--no-fit"])
    assert list(workspace.iterdir()) == []


def test_without_test_images_nothing_can_be_confirmed(workspace: Path) -> None:
    write_pictures(workspace / "shapes", train=40, test=0)
    plan = search.parse(["--arch", "mlp", "--data.root", "shapes", "--data.val_size", "8", "--batch_size", "8"]).plan
    with pytest.raises(UsageError, match="shapes has no test images to judge the best settings by: give --confirm 0"):
        search.check(plan, confirms=True)
    assert len(search.check(plan, confirms=False).val.labels) == 8


def test_height_and_width_are_two_numbers(workspace: Path) -> None:
    plan = search.parse(["--arch", "mlp", "--data.val_size", "500", "--data.size", "32", "40"]).plan
    assert ("data.size", "[32, 40]") in plan.settings


def test_a_network_must_be_named(workspace: Path) -> None:
    with pytest.raises(UsageError, match="required: --arch"):
        search.main(["--data.val_size", "500"])


def test_what_is_set_for_all_trials_is_not_in_the_default_space(workspace: Path) -> None:
    plan = search.parse(["--arch", "mlp", "--lr", "0.01", "--data.val_size", "500"]).plan
    assert "lr" not in plan.space
    assert "batch_size" in plan.space
    assert fit_settings(plan.trial(0, {}))["lr"] == 0.01


@pytest.mark.slow
def test_where_no_trial_ran_to_its_end_there_is_nothing_to_report(workspace: Path) -> None:
    flags = [*SHORT[:2], "--space", "lr=50.0..100.0", *SHORT[4:], *ONE_JOB, "--trials", "2", "--name", "s"]
    with pytest.raises(UserError, match="no trial of s ran to its end: 2 collapsed"):
        search.main(flags)
    with pytest.raises(UserError, match="no trial of s ran to its end: 2 collapsed"):
        search.main([*flags, "--no-fit"])
