"""A comparison: what it trains, what it skips, what it leaves, what it refuses."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from convblocks.compare import command as compare
from convblocks.compare.dry_run import plans_of
from convblocks.compare.options import parse, seeds
from convblocks.compare.trials import Trial
from convblocks.errors import UsageError, UserError
from convblocks.record.directory import LOGS
from convblocks.text import flatten
from tests.any_task.tasks import HERE, options_of
from tests.core.run.test_fit import assert_same_weights

SHORT = ["--epochs", "2", "--trainer.limit_train_batches", "30", "--trainer.limit_val_batches", "2"]


def trial(name: str, arch: str, seed: int) -> Trial:
    trials: list[Trial] = parse(
        [*SHORT, "--arch", arch, "--seeds", f"{seed}-{seed}", "--name", name]
    ).trials
    return trials[0]


def rows_of(name: str) -> list[dict[str, str]]:
    with (LOGS / name / "comparison.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the mlp was compared over two seeds; only for reading."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare.main([*SHORT, "--arch", "mlp", "--seeds", "2", "--name", "small", "--jobs", "1"])
    return folder


@pytest.fixture
def small(finished: Path, workspace: Path) -> Path:
    """A finished comparison of the mlp over two seeds, in an empty current directory."""
    shutil.copytree(finished / LOGS, LOGS)
    return LOGS / "small"


@pytest.mark.slow
def test_summary_of_another_seed_is_no_result(small: Path) -> None:
    first, second = (trial("small", "mlp", seed) for seed in (0, 1))
    shutil.copy(second.run.summary, first.run.summary)
    assert (first.result(), bool(second.result())) == (None, True)


@pytest.mark.slow
def test_comparison_leaves_its_files(small: Path) -> None:
    assert {path.suffix for path in small.glob("comparison.*")} == {
        ".html",
        ".md",
        ".csv",
        ".json",
        ".png",
    }
    accuracies = [
        trial("small", "mlp", seed).run.read_result().final["test/acc"] for seed in (0, 1)
    ]
    assert [row["seed"] for row in rows_of("small")] == ["0", "1"]
    assert [float(row["test_acc"]) for row in rows_of("small")] == accuracies
    for option, value in parse([*SHORT]).common:
        assert {row[option.replace(".", "_")] for row in rows_of("small")} == {value}
    numbers = json.loads((small / "comparison.json").read_text())
    assert numbers["results"][0]["score"]["value"] == pytest.approx(sum(accuracies) / 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "archs", [["mlp"], pytest.param(["maxpool", "batchnorm"], marks=pytest.mark.nightly)]
)
def test_jobs_side_by_side_equal_one_after_the_other_bit_for_bit(
    archs: list[str], workspace: Path
) -> None:
    for jobs in ("1", "2"):
        compare.main(
            [*SHORT, "--arch", *archs, "--seeds", "2", "--name", f"jobs{jobs}", "--jobs", jobs]
        )
    for arch in archs:
        for seed in (0, 1):
            assert_same_weights(*(trial(name, arch, seed).run for name in ("jobs1", "jobs2")))
    tables = [(LOGS / name / "comparison.json").read_text() for name in ("jobs1", "jobs2")]
    assert tables[0] == tables[1]


def test_config_sets_no_seed_and_is_overridden_and_swept(workspace: Path) -> None:
    for number in (2, 3):
        Path(f"{number}.yaml").write_text(
            f"{{epochs: 9, seed: 7, lr: 0.1, trainer: {{max_steps: {number}}}}}"
        )
    flags = ["--grid", "config=2.yaml,3.yaml", "--lr", "0.2", "--arch", "mlp", "--seeds", "2"]
    trials = parse(flags).trials
    assert [trial.label for trial in trials] == [
        f"mlp config={number}.yaml seed {seed}" for number in (2, 3) for seed in (0, 1)
    ]
    plans = plans_of(trials)
    settings = [flatten(plans[trial.arm].settings) for trial in trials]
    names = ("trainer.max_epochs", "model.lr", "trainer.max_steps")
    assert [[each[name] for name in names] for each in settings] == [
        [9, 0.2, number] for number in (2, 2, 3, 3)
    ]
    assert all(f"--seed={trial.seed}" in trial.arguments() for trial in trials)


def test_directory_is_named_by_what_differs_and_what_all_share(workspace: Path) -> None:
    """Another arm, or another order of the options, makes no other directories of the
    first ones.
    """
    names = [
        trial.name for trial in parse([*SHORT, "--arch", "mlp", "--grid", "lr=1e-3,1e-2"]).trials
    ]
    assert names[0].startswith("compare/mlp,lr=1e-3/")
    assert names[0].endswith("/seed_0")
    further = ["--arch", "batchnorm", "mlp", "--grid", "lr=1e-4,1e-3,1e-2", "--seeds", "0-19"]
    assert set(names) < {trial.name for trial in parse([*further, *SHORT[2:], *SHORT[:2]]).trials}
    for more in (["--epochs", "3"], ["--threads", "2"], ["--batch_size", "32"]):
        assert not set(names) & {
            trial.name for trial in parse([*further, *SHORT[2:], *more]).trials
        }


def test_seeds_may_be_a_number_a_range_or_a_list() -> None:
    assert [seeds(text) for text in ("3", "5-7", "0,4,7")] == [[0, 1, 2], [5, 6, 7], [0, 4, 7]]


@pytest.mark.slow
def test_finished_trials_are_reported_and_not_trained_again(small: Path) -> None:
    """Missing ones are named, and those with other settings never mixed in."""
    (small / "comparison.md").unlink()
    before = {path: path.stat().st_mtime_ns for path in small.rglob("last.ckpt")}
    command = [*SHORT, "--arch", "mlp", "--seeds", "3", "--name", "small"]
    with pytest.raises(UserError, match="1 of 3 trials are not done: mlp seed 2"):
        compare.main([*command, "--no-fit"])
    assert "| 2/2 [34–100 %] |" in (small / "comparison.md").read_text()
    compare.main(command)
    after = {path: path.stat().st_mtime_ns for path in small.rglob("last.ckpt")}
    assert len(after) == 3
    assert before.items() < after.items()
    config = trial("small", "mlp", 0).run.config
    config.write_text(config.read_text().replace("lr: 0.01", "lr: 0.02"))
    with pytest.raises(
        UserError, match=r"seed_0 was begun with model\.lr=0\.02, not 0\.01: choose another --name"
    ):
        compare.main(command)


@pytest.mark.slow
def test_trial_that_crashes_leaves_the_others(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = trial("crash", "mlp", 0).run
    blocked.path.mkdir(parents=True)
    (blocked.path / "stray").touch()
    with pytest.raises(
        UserError, match=r"1 of 2 trials are not done: mlp seed 0; see .*seed_0\.log"
    ):
        compare.main([*SHORT, "--arch", "mlp", "--seeds", "2", "--name", "crash"])
    assert trial("crash", "mlp", 1).result()
    assert "config.yaml: it is missing" in trial("crash", "mlp", 0).log.read_text()
    assert re.search(
        r"mlp seed 0: FAILED: \S.*config\.yaml: it is missing", capsys.readouterr().out
    )


def test_failed_trial_has_its_last_line_as_cause_and_a_killed_one_its_log(workspace: Path) -> None:
    failed = trial("failed", "mlp", 0)
    assert failed.cause(1) == f"see {failed.log}"
    failed.log.parent.mkdir(parents=True)
    failed.log.write_text("1/5  0.2\nconvblocks: too little memory\n")
    assert failed.cause(1) == "too little memory"
    assert failed.cause(-9) == f"see {failed.log}"


STOPPING = ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val/none"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "tried"),
    [(["--judge", "val/none:min"], 1), (["--judge", "val/rmse:min", *STOPPING], 2)],
    ids=["never logged", "failed with all seeds"],
)
def test_grid_ends_after_a_setting_that_fails_as_all_others_would(
    wrong: list[str], tried: int, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*options_of("regression", epochs=1), *wrong, "--jobs", "1"]
    with pytest.raises(UserError, match="6 of 6 trials are not done") as caught:
        compare.main([*command, "--grid", "model.hidden=4,8,16", "--seeds", "2"])
    assert str(caught.value).count("; see ") == 1
    printed = capsys.readouterr().out
    failed = re.findall(r"Curve model\.hidden=4 seed \d: FAILED: .*val/none", printed)
    assert len(failed) == printed.count("FAILED") == tried


GRID = [*SHORT, "--trainer.limit_test_batches", "2", "--name", "grid", "--arch", "mlp"]
GRID += ["--seeds", "0,2", "--data.val_size", "2000", "--grid", "lr=1e-3,1e-2", "--confirm", "2"]


@pytest.fixture(scope="module")
def finished_grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the best setting of a grid was confirmed; only for reading."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        compare.main(GRID)
    return folder


@pytest.fixture
def grid(finished_grid: Path, workspace: Path) -> Path:
    """A finished grid in an empty current directory."""
    shutil.copytree(finished_grid / LOGS, LOGS)
    return LOGS / "grid"


def confirmed_runs(grid: Path) -> list[Path]:
    return sorted((grid / "confirm").rglob("summary.json"))


@pytest.mark.slow
def test_grid_is_confirmed_with_fresh_seeds_on_all_training_images(grid: Path) -> None:
    results = [json.loads(path.read_text()) for path in confirmed_runs(grid)]
    trained = [(run["seed"], run["facts"]["images"]["train"]) for run in results]
    assert trained == [(3, 60_000), (4, 60_000)]
    assert not any("val/acc" in row for run in results for row in run["epochs"])
    (arm,) = json.loads((grid / "comparison.json").read_text())["results"]
    assert arm["trained"]["n"] == 2
    accuracies = [run["final"]["test/acc"] for run in results]
    assert arm["score"]["value"] == pytest.approx(sum(accuracies) / 2)


@pytest.mark.slow
def test_setting_of_a_grid_is_chosen_by_its_mean_on_validation_images(grid: Path) -> None:
    rows = rows_of("grid")
    assert [row["seed"] for row in rows] == ["0", "2", "0", "2", "3", "4"]
    totals: dict[str, float] = {}
    for row in rows[:4]:
        totals[row["lr"]] = totals.get(row["lr"], 0) + float(row["val_acc"])
    assert {row["lr"] for row in rows[4:]} == {max(totals, key=lambda rate: totals[rate])}


@pytest.mark.slow
def test_grid_that_is_finished_is_only_reported_again(grid: Path) -> None:
    run = confirmed_runs(grid)[0]
    report = (grid / "comparison.md").read_text()
    before = run.stat().st_mtime_ns
    compare.main([*GRID, "--no-fit"])
    assert (grid / "comparison.md").read_text() == report
    assert run.stat().st_mtime_ns == before
    run.unlink()
    with pytest.raises(UserError, match=r"1 of 2 trials are not done: .* seed 3"):
        compare.main([*GRID, "--no-fit"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grid", "speed=1,2"], "unrecognized arguments: --speed"),
        (["--grid", "lr=fast,slow"], "lr.*fast"),
        (["--grid", "lr=1e-3,1e-3"], "different values"),
        (["--grid", "seed=1,2"], "--grid seed"),
        (["--grid", "data.val_size=1,2"], "runs on different images cannot be compared"),
        (["--seeds", "0"], "give a number such as 5"),
        (["--jobs", "0"], "--jobs: must be at least 1"),
        (["--resume", "true"], "--resume is set for every trial"),
        (["--lr"], "--lr: options of fit are given as --OPTION VALUE here"),
        (["--name", "../elsewhere"], "below lightning_logs"),
        (
            ["--confirm", "3"],
            "--confirm trains the best settings of a grid with fresh seeds: give --grid",
        ),
        (["--confirm", "3", "--grid", "lr=1e-3,1e-2"], "--confirm .* add --data.val_size 5000"),
    ],
)
def test_wrong_usage_of_compare_is_one_line(
    flags: list[str], message: str, workspace: Path
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        compare.main(flags)
    assert "\n" not in str(caught.value)
    assert list(workspace.iterdir()) == []


def test_option_that_is_not_a_setting_makes_no_other_trials(workspace: Path) -> None:
    (plain,), (slow,) = (
        parse(["--arch", "mlp", "--seeds", "1", *more]).trials for more in ([], ["--fast", "false"])
    )
    assert plain.name == slow.name
    assert "--fast=false" not in plain.arguments()
    assert "--fast=false" in slow.arguments()


@pytest.mark.slow
def test_settings_of_one_model_are_compared_and_the_better_one_is_found(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*options_of("regression"), "--name", "rates", "--seeds", "5"]
    command += ["--grid", "model.lr=1e-4,1e-2"]
    compare.main(command)
    printed = capsys.readouterr().out
    verdict = "Best of 2 settings (lr 1e-4 is the baseline): lr 1e-2 is better than lr 1e-4 by 0."
    assert verdict in printed
    assert "Validation data choose lr 1e-2, by its mean val/rmse." in printed
    assert {row["model_lr"] for row in rows_of("rates")} == {"1e-4", "1e-2"}
    compare.main([*command, "--no-fit"])
    assert verdict in capsys.readouterr().out


# torchdata calls what torch 2.13 deprecates
@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_models_are_compared_and_the_better_one_is_found(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = options_of("regression")
    flags.insert(2, f"{HERE}.regression.Line")
    compare.main([*flags, "--seeds", "5", "--name", "models"])
    printed = capsys.readouterr().out
    assert "Curve is better than tests.any_task.regression.Line by 0." in printed
    assert "notebook" not in printed + Path("lightning_logs/models/comparison.md").read_text()
