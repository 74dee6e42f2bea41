"""A comparison end to end: what it trains, what it skips, what it leaves, what it refuses."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from convblocks.comparison import compare, trials
from convblocks.comparison.trials import Trial, all_trials
from convblocks.errors import UsageError, UserError
from convblocks.runs.directory import LOGS, RunDirectory
from tests.conftest import REPOSITORY
from tests.scripts import run_script, start_script

SHORT = ["--epochs", "2", "--trainer.limit_train_batches", "30", "--trainer.limit_val_batches", "2"]
SHORT_NAME = "epochs=2,threads=1,trainer.limit_train_batches=30,trainer.limit_val_batches=2"


def trial(name: str, arch: str, seed: int) -> Trial:
    settings = tuple(part.split("=") for part in SHORT_NAME.split(","))
    return Trial(name, arch, tuple((option, value) for option, value in settings), seed)


def weights(one: Trial) -> list[torch.Tensor]:
    return list(torch.load(one.run.last_checkpoint, weights_only=True)["state_dict"].values())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the mlp was compared over two seeds; only for reading."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare.main([*SHORT, "--arch", "mlp", "--seeds", "2", "--name", "small"])
    return folder


@pytest.fixture
def small(finished: Path, workspace: Path) -> Path:
    """A finished comparison of the mlp over two seeds, in an empty current directory."""
    shutil.copytree(finished / LOGS, LOGS)
    return LOGS / "small"


@pytest.mark.slow
def test_two_jobs_equal_one_bit_for_bit(workspace: Path) -> None:
    for jobs in ("1", "2"):
        compare.main([*SHORT, "--seeds", "2", "--name", f"jobs{jobs}", "--jobs", jobs])
    for arch in ("mlp", "maxpool", "batchnorm"):
        for seed in (0, 1):
            one, two = trial("jobs1", arch, seed), trial("jobs2", arch, seed)
            assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))
    tables = [(LOGS / name / "comparison.json").read_text() for name in ("jobs1", "jobs2")]
    assert tables[0] == tables[1]


def test_a_comparison_leaves_its_files(small: Path) -> None:
    assert {path.name for path in small.glob("comparison.*")} == {
        "comparison.md",
        "comparison.csv",
        "comparison.json",
        "comparison.png",
    }
    with (small / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0", "1"]
    accuracies = [trial("small", "mlp", seed).run.read_result().final["test/acc"] for seed in (0, 1)]
    assert [float(row["accuracy"]) for row in rows] == accuracies
    assert [float(row["final.test/acc"]) for row in rows] == accuracies
    assert {row["overrides"] for row in rows} == {SHORT_NAME}
    numbers = json.loads((small / "comparison.json").read_text())
    assert numbers["comparison"]["arms"][0]["accuracy"]["value"] == pytest.approx(sum(accuracies) / 2)


@pytest.mark.slow
def test_a_config_sets_the_epochs_but_not_the_seeds(workspace: Path) -> None:
    limits = "trainer: {limit_train_batches: 2, limit_val_batches: 1}"
    Path("short.yaml").write_text(f"{{epochs: 1, seed: 7, lr: 0.1, {limits}}}")
    compare.main(["--config", "short.yaml", "--lr", "0.2", "--arch", "mlp", "--seeds", "2", "--name", "short"])
    runs = [RunDirectory(f"short/mlp/epochs=1,threads=1,config=short.yaml,lr=0.2/seed_{seed}") for seed in (0, 1)]
    assert [run.read_result().seed for run in runs] == [0, 1]
    assert [len(run.read_result().epochs) for run in runs] == [1, 1]
    assert [run.read_config()["lr"] for run in runs] == [0.2, 0.2]


@pytest.mark.slow
def test_configs_can_be_swept_and_do_not_change_the_epochs(workspace: Path) -> None:
    for number in (2, 3):
        limits = f"trainer: {{limit_train_batches: {number}, limit_val_batches: 1, limit_test_batches: 1}}"
        Path(f"{number}.yaml").write_text(f"{{epochs: 3, {limits}}}")
    sweep = ["--grid", "config=2.yaml,3.yaml", "--data.val_size", "1000"]
    compare.main([*sweep, "--epochs", "1", "--arch", "mlp", "--seeds", "1", "--name", "swept"])
    steps = {
        path.name: [row["step"] for row in RunDirectory(f"swept/mlp/{path.name}/seed_0").read_metrics()]
        for path in LOGS.glob("swept/mlp/*")
    }
    assert steps == {
        "epochs=1,threads=1,data.val_size=1000,config=2.yaml": [2],
        "epochs=1,threads=1,data.val_size=1000,config=3.yaml": [3],
    }


def test_the_report_is_in_tensorboard(small: Path) -> None:
    events = EventAccumulator(str(small / "comparison")).Reload()
    assert events.Tags()["images"] == ["visuals/comparison"]
    assert events.Tags()["tensors"] == ["comparison/text_summary"]


def test_what_is_done_is_not_trained_again(small: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.rglob("last.ckpt")}
    compare.main([*SHORT, "--arch", "mlp", "--seeds", "3", "--name", "small"])
    after = {path: path.stat().st_mtime_ns for path in small.rglob("last.ckpt")}
    assert len(after) == 3
    assert before.items() < after.items()


@pytest.mark.slow
def test_an_incomplete_trial_is_resumed_to_the_same_end(small: Path) -> None:
    interrupted = trial("small", "mlp", 1)
    expected, table = weights(interrupted), (small / "comparison.json").read_text()
    interrupted.run.summary.unlink()
    assert interrupted.result() is None
    compare.main([*SHORT, "--arch", "mlp", "--seeds", "2", "--name", "small"])
    assert all(torch.equal(a, b) for a, b in zip(weights(interrupted), expected, strict=True))
    assert (small / "comparison.json").read_text() == table


@pytest.mark.slow
def test_a_damaged_summary_is_written_anew(small: Path) -> None:
    summary = trial("small", "mlp", 0).run.summary
    epochs = json.loads(summary.read_text())["epochs"]
    summary.write_text(summary.read_text()[:100])
    compare.main([*SHORT, "--arch", "mlp", "--seeds", "2", "--name", "small"])
    assert json.loads(summary.read_text())["epochs"] == epochs


def test_without_fitting_missing_runs_are_named_and_the_others_reported(small: Path) -> None:
    (small / "comparison.md").unlink()
    with pytest.raises(UserError, match=f"1 of 3 trials are not done: small/mlp/{SHORT_NAME}/seed_2"):
        compare.main([*SHORT, "--arch", "mlp", "--seeds", "3", "--name", "small", "--no-fit"])
    assert "| 2 of 2 |" in (small / "comparison.md").read_text()


def test_a_run_with_other_settings_is_never_mixed_in(small: Path) -> None:
    config = trial("small", "mlp", 0).run.config
    config.write_text(config.read_text().replace("lr: 0.01", "lr: 0.02"))
    with pytest.raises(UserError, match=r"seed_0 was begun with lr=0\.02, not 0\.01: choose another --name"):
        compare.main([*SHORT, "--arch", "mlp", "--seeds", "2", "--name", "small", "--no-fit"])


@pytest.mark.slow
def test_a_trial_that_crashes_leaves_the_others(workspace: Path) -> None:
    blocked = trial("crash", "mlp", 0).run
    blocked.path.mkdir(parents=True)
    (blocked.path / "stray").touch()
    with pytest.raises(UserError, match=r"1 of 2 trials are not done: crash/mlp/.*/seed_0; see .*seed_0\.log"):
        compare.main([*SHORT, "--arch", "mlp", "--seeds", "2", "--name", "crash"])
    assert trial("crash", "mlp", 1).result()
    assert "is not a run that can be resumed" in trial("crash", "mlp", 0).log.read_text()


@pytest.mark.slow
def test_a_trial_that_is_killed_leaves_the_others(workspace: Path) -> None:
    wanted = all_trials("killed", ["mlp"], [0, 1], trial("killed", "mlp", 0).overrides, {})
    killed: list[int | None] = []

    def kill_one(running: list[trials.Running[Trial]]) -> None:
        if not killed:
            killed.append(running[0].process.pid)
            running[0].process.kill()

    queue = iter(wanted)
    ended = list(trials.fit_all(lambda: next(queue, None), jobs=1, watch=kill_one))
    assert ended == [(wanted[0], -signal.SIGKILL), (wanted[1], 0)]


@pytest.mark.slow
def test_a_grid_with_a_validation_split_compares_each_network_at_its_best(workspace: Path) -> None:
    flags = ["--arch", "mlp", "maxpool", "--seeds", "1", "--data.val_size", "2000", "--grid", "lr=1e-3,1e-2"]
    compare.main([*SHORT, *flags, "--trainer.limit_test_batches", "2", "--name", "grid"])
    report = (LOGS / "grid" / "comparison.md").read_text()
    assert report.startswith("## Each network at its own best setting: epochs 2, ")
    assert "## Every setting" in report
    assert len(list((LOGS / "grid").rglob("summary.json"))) == 4


@pytest.mark.slow
def test_a_grid_without_a_validation_split_chooses_nothing(workspace: Path) -> None:
    compare.main([*SHORT, "--arch", "mlp", "--seeds", "1", "--grid", "lr=1e-3,1e-2", "--name", "grid"])
    report = (LOGS / "grid" / "comparison.md").read_text()
    assert "best setting" not in report
    assert report.startswith("## Every setting")
    assert "Nothing was chosen from the grid" in report


@pytest.mark.slow
def test_a_grid_is_confirmed_with_fresh_seeds_on_all_training_images(workspace: Path) -> None:
    """A second call trains nothing; if a fresh run is missing, the report is of the grid."""
    flags = ["--arch", "mlp", "--seeds", "0,2", "--data.val_size", "2000", "--grid", "lr=1e-3,1e-2", "--confirm", "2"]
    command = [*SHORT, *flags, "--trainer.limit_test_batches", "2", "--name", "grid"]
    compare.main(command)
    confirmed = sorted((LOGS / "grid" / "confirm").rglob("summary.json"))
    results = [json.loads(path.read_text()) for path in confirmed]
    assert [(one["seed"], one["images"]["train"]) for one in results] == [(3, 60_000), (4, 60_000)]
    assert not any("val/acc" in row for one in results for row in one["epochs"])
    with (LOGS / "grid" / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["0", "2", "0", "2", "3", "4"]
    best = max(rows[:4], key=lambda row: sum(float(one["validation"]) for one in rows[:4] if one["lr"] == row["lr"]))
    assert {row["lr"] for row in rows[4:]} == {best["lr"]}
    report = (LOGS / "grid" / "comparison.md").read_text()
    assert "These are runs with fresh seeds, on all training images." in report
    numbers = json.loads((LOGS / "grid" / "comparison.json").read_text())
    (arm,) = numbers["comparison"]["arms"]
    assert arm["runs"] == 2
    assert sorted([arm["worst"], arm["best"]]) == sorted(one["final"]["test/acc"] for one in results)
    before = {path: path.stat().st_mtime_ns for path in confirmed}
    compare.main([*command, "--no-fit"])
    assert (LOGS / "grid" / "comparison.md").read_text() == report
    assert {path: path.stat().st_mtime_ns for path in confirmed} == before
    confirmed[0].unlink()
    (LOGS / "grid" / "comparison.md").unlink()
    with pytest.raises(UserError, match="1 runs with fresh seeds are not done: leave out --no-fit"):
        compare.main([*command, "--no-fit"])
    assert "fresh seeds" not in (LOGS / "grid" / "comparison.md").read_text()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grid", "speed=1,2"], "unrecognized arguments: --speed"),
        (["--grid", "lr=fast,slow"], "lr.*fast"),
        (["--grid", "lr=1e-3,1e-3"], "different values"),
        (["--grid", "lr="], "different values"),
        (["--grid", "lr"], "different values"),
        (["--grid", "seed=1,2"], "--grid seed"),
        (["--seeds", "0"], "number of seeds above 0"),
        (["--seeds", "1,1"], "different seeds"),
        (["--seeds", "-1"], "number of seeds above 0"),
        (["--seeds", "many"], "invalid"),
        (["--arch", "resnet"], "unknown architecture 'resnet'"),
        (["--trainer.fast_dev_run", "true"], "fast_dev_run leaves no runs to compare"),
        (["--arch", "mlp", "--network.hidden", "3"], "--network.hidden: none of these networks takes arguments"),
        (["--grid", "data.root=a/x,b/x"], "two of its values would be kept under the same name"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--resume", "true"], "--resume is set by the comparison itself"),
        (["--unknown", "1"], "unrecognized arguments: --unknown"),
        (["--seedz", "1"], "unrecognized arguments: --seedz: did you mean --seeds?"),
        (
            ["--trainer.max_stepz", "1"],
            "unrecognized arguments: --trainer.max_stepz=1: did you mean --trainer.max_steps?",
        ),
        (["--lr"], "--lr needs a value"),
        (["stray"], "unrecognized argument: stray"),
        (["--name", "../elsewhere"], "below lightning_logs"),
        (
            ["--confirm", "3"],
            "--confirm trains the best settings of a grid with fresh seeds: give --grid, or leave it out",
        ),
        (["--confirm", "3", "--grid", "lr=1e-3,1e-2"], "--confirm .* add --data.val_size 5000"),
        (
            ["--confirm", "3", "--grid", "lr=1e-3,1e-2", "--data.val_size", "9", "--trainer.limit_val_batches", "0"],
            "--confirm .* held-out images",
        ),
        (["--grid", "batch_size=64,0"], "a batch size must be at least 1"),
        (["--confirm", "-1", "--grid", "lr=1e-3,1e-2", "--data.val_size", "9"], "--confirm must be at least 0"),
    ],
)
def test_wrong_usage_is_one_line(flags: list[str], message: str, workspace: Path) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        compare.main(flags)
    assert "\n" not in str(caught.value)
    assert list(workspace.iterdir()) == []


def test_several_nodes_are_for_launchers(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"--trainer.num_nodes 2, but this was started on one: leave it out"):
        compare.main([*SHORT, "--arch", "mlp", "--seeds", "1", "--trainer.num_nodes", "2"])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    with pytest.raises(UsageError, match="torchrun is for the processes of one trial: write --trial NUMBER"):
        compare.main([*SHORT, "--arch", "mlp", "--seeds", "1"])


@pytest.mark.slow
def test_networks_and_options_that_a_user_brings_along_are_compared(own_networks: Path) -> None:
    """Runs that ended themselves are done, and count."""
    stopping = ["--trainer.callbacks=EarlyStopping", "--trainer.callbacks.monitor=train/loss"]
    never_better = ["--trainer.callbacks.patience=1", "--trainer.callbacks.min_delta=9"]
    stopping += ["--trainer.callbacks.check_on_train_epoch_end=true"]
    options = ["--optimizer", "RAdam", "--trainer.val_check_interval", "0.5", "--trainer.default_root_dir", "scratch"]
    flags = [*SHORT[2:], *stopping, *never_better, *options, "--epochs", "5", "--seeds", "1", "--name", "own"]
    compare.main([*flags, "--arch", "own_networks.Rows", "mlp"])
    report = Path("scratch") / LOGS / "own" / "comparison.md"
    before = report.read_text()
    assert "| own_networks.Rows |" in before
    summaries = [json.loads(path.read_text()) for path in report.parent.rglob("summary.json")]
    assert [len(summary["epochs"]) for summary in summaries] == [2, 2]
    compare.main([*flags, "--arch", "own_networks.Rows", "mlp", "--no-fit"])
    assert report.read_text() == before


@pytest.mark.slow
def test_arguments_of_a_network_are_for_those_that_take_any(own_networks: Path) -> None:
    """And what is not evaluated has no point in the figure."""
    seldom = ["--trainer.check_val_every_n_epoch", "2", "--epochs", "3", "--seeds", "1", "--network.hidden", "24"]
    compare.main([*SHORT[2:], *seldom, "--arch", "own_networks.Rows", "mlp", "--name", "own"])
    parameters = [json.loads(path.read_text())["parameters"] for path in (LOGS / "own").rglob("summary.json")]
    assert sorted(parameters) == [3 * 24 * (28 + 24 + 2) + 10 * 25, 79_510]


PROCESSES = ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.accelerator", "cpu"]


@pytest.mark.slow
def test_a_trial_may_have_several_processes(workspace: Path) -> None:
    for name, processes in (("one", []), ("two", PROCESSES)):
        command = [*SHORT, "--trainer.precision", "64-true", "--arch", "batchnorm", "--seeds", "2", *processes]
        command += ["--jobs", "2"]  # whose processes meet at ports of their own
        finished = run_script("compare", *command, "--name", name, cwd=workspace)
        assert finished.returncode == 0, finished.stderr
    losses = {}
    for name in ("one", "two"):
        with (LOGS / name / "comparison.csv").open() as file:
            losses[name] = [float(row["last_loss"]) for row in csv.DictReader(file)]
    assert losses["two"] == pytest.approx(losses["one"], rel=1e-9)


def is_alive(group: int) -> bool:
    """Whether any process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def imports_torch_to_fork_from(comparison: int) -> bool:
    """Whether the server from which trials will be forked is in the midst of its imports."""
    servers = psutil.Process(comparison).children()
    return any("libtorch" in mapped.path for server in servers for mapped in server.memory_maps())


def trains(comparison: int) -> bool:
    return bool(list((LOGS / "stopped").rglob("last.ckpt")))


@pytest.mark.slow
@pytest.mark.parametrize("moment", [imports_torch_to_fork_from, trains])
def test_ctrl_c_leaves_no_process_of_a_trial_and_no_traceback(moment: Callable[[int], bool], workspace: Path) -> None:
    flags = ["--epochs", "50", "--arch", "mlp", "--seeds", "1", "--name", "stopped", *PROCESSES]
    script = [sys.executable, str(REPOSITORY / "scripts" / "compare.py"), *flags]
    with subprocess.Popen(script, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as process:
        while not moment(process.pid):
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=60)[1] == b"compare.py: stopped: the same command carries on\n"
        assert process.returncode == 130
    for _ in range(100):
        if not is_alive(process.pid):
            break
        time.sleep(0.1)
    assert not is_alive(process.pid)


# Of a comparison in which much is left to do after the first epoch.
LONG = ["--epochs", "3", "--trainer.limit_train_batches", "300", "--trainer.limit_val_batches", "2"]
LONG += ["--arch", "mlp", "--seeds", "2", "--jobs", "2"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What it finds if nothing stops it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("long"))
        compare.main([*LONG, "--name", "whole"])
        return (LOGS / "whole" / "comparison.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_comparison_carries_on_to_the_same_table(workspace: Path, table: str, kind: signal.Signals) -> None:
    with start_script("compare", *LONG, "--name", "killed", cwd=workspace) as process:
        while not list((LOGS / "killed").rglob("last.ckpt")):
            assert process.poll() is None
            time.sleep(0.02)
        if kind == signal.SIGINT:
            os.killpg(process.pid, kind)  # as a terminal's Ctrl-C does
        else:
            process.send_signal(kind)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == (-kind if kind == signal.SIGKILL else 128 + kind)
        assert errors == ("" if kind == signal.SIGKILL else "compare.py: stopped: the same command carries on\n")
    resumed = run_script("compare", *LONG, "--name", "killed", cwd=workspace)
    assert resumed.returncode == 0, resumed.stderr
    assert (LOGS / "killed" / "comparison.json").read_text() == table


@pytest.mark.slow
def test_a_run_is_worked_on_by_one_process_at_a_time(small: Path) -> None:
    run = RunDirectory("small/mlp/" + SHORT_NAME + "/seed_0")
    with run.lock(), pytest.raises(UserError, match="another process is working on"), run.lock():
        pass


@pytest.mark.slow
def test_summary_prints_all_networks(tmp_path: Path) -> None:
    printed = run_script("summary", cwd=tmp_path).stdout
    for total in ("79,510", "85,526", "77,918"):
        assert f"Total params: {total}" in printed
    assert "[64, 100, 4, 4]" in printed
