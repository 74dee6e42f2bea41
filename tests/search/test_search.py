"""A search end to end, with real runs: its trials, its files, and its errors."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.record.directory import LOGS, RunDirectory
from convblocks.search import command as search
from tests.any_task.tasks import TASKS, options_of
from tests.data.pictures import write_pictures
from tests.search.made_up import SHORT, numbers

WHOLE = [*SHORT, "--trials", "8", "--best", "2", "--confirm", "2", "--name", "s"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a search with two jobs that has been confirmed and reported; the
    tests run where it was begun.
    """
    folder = tmp_path_factory.mktemp("search")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["convblocks"])
        search.main([*WHOLE, "--jobs", "2"])
        yield LOGS / "s"


@pytest.mark.slow
def test_search_leaves_its_files(done: Path) -> None:
    trials = {f"trial_{number}" for number in range(8)}
    names = {path.name for path in done.iterdir() if not path.name.startswith(".")}
    report = {f"search.{ending}" for ending in ("html", "md", "json", "csv", "png")}
    assert names == report | {"search-confirmed.png", "journal.log", "logs", "confirm"} | trials
    for row in numbers("s")["trials"]:
        config = RunDirectory(f"s/trial_{row['trial']}").read_config()
        assert config["data"]["init_args"]["batch_size"] == int(row["batch_size"])


@pytest.mark.slow
def test_the_best_settings_and_the_default_are_trained_with_fresh_seeds_on_all_images(
    done: Path,
) -> None:
    default, *best = numbers("s")["confirmed"]
    assert (default["arch"], len(best)) == ("default", 2)
    score = {
        row["trial"]: row["score"] for row in numbers("s")["trials"] if row["ended"] == "complete"
    }
    assert best[0]["arch"] == f"trial_{max(score, key=lambda number: score[number])}"
    assert best[0]["minus"]["value"] == pytest.approx(
        best[0]["score"]["value"] - default["score"]["value"]
    )
    runs = [path.parent.relative_to(LOGS) for path in (done / "confirm").rglob("summary.json")]
    assert {run.parts[2] for run in runs} == {setting["arch"] for setting in (default, *best)}
    assert len(runs) == 6
    for result in [RunDirectory(str(run)).read_result() for run in runs]:
        assert result.seed in (1, 2)
        assert result.facts["images"]["train"] == 60_000
        assert not any("test/acc" in row for row in result.epochs[:-1])


@pytest.mark.slow
def test_search_that_is_finished_is_only_reported_again(done: Path) -> None:
    before = [(done / name).read_text() for name in ("search.md", "journal.log")]
    search.main(WHOLE)
    assert [(done / name).read_text() for name in ("search.md", "journal.log")] == before


@pytest.mark.slow
# torchdata calls what torch 2.13 deprecates
@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
@pytest.mark.parametrize("task", TASKS)
def test_any_task_is_searched_by_its_judge(task: str, workspace: Path) -> None:
    flags = ["--trials", "4", "--best", "1", "--confirm", "2", "--jobs", "2"]
    search.main([*options_of(task, epochs=1), "--space", "model.lr=1e-4..1e-1:log", *flags])
    found = numbers("search")
    sign = 1 if TASKS[task][2].endswith("max") else -1
    best = max(
        (row for row in found["trials"] if row["score"] is not None),
        key=lambda row: sign * row["score"],
    )
    assert [setting["arch"] for setting in found["confirmed"]] == [
        "default",
        f"trial_{best['trial']}",
    ]
    assert found["command"].startswith("convblocks fit --model ")


def test_network_of_a_config_is_searched(workspace: Path) -> None:
    Path("c.yaml").write_text("{model: {class_path: clf.Classifier}}")
    config = search.parse(["--config", "c.yaml", "--space", "model.lr=1e-4..1e-1:log"]).config
    assert (config.default.option, config.default.arch) == ("model", "clf.Classifier")


@pytest.mark.parametrize(
    ("words", "best", "seeds"),
    [
        ("", 3, 5),
        ("--confirm 2", 3, 2),
        ("--best 1", 1, 5),
        ("--confirm 0", 3, 0),
        ("--confirm 2 --seeds 4", 2, 4),
        ("--seeds 4", 3, 4),
    ],
)
def test_confirm_is_a_number_of_seeds_as_in_compare_and_the_older_form_is_understood(
    words: str, best: int, seeds: int
) -> None:
    options = search.parse(["--arch", "mlp", *words.split()])
    assert (options.best, len(options.seeds)) == (best, seeds)
    said = f"these words mean --best {best} --confirm {seeds}"
    assert (said in options.renamed) == ("--seeds" in words)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--space", "speed=1..2"], "speed"),
        (["--space", "lr=fast|slow"], "lr.*fast"),
        (["--space", ""], "--space is empty"),
        (["--space", "lr=1e-3..1e-1", "3"], "--space 3: at least two different values are needed"),
        (["--space", "lr=0.1..inf"], "the ends of a range must be finite"),
        (["--confirm", "-1"], "--confirm: must be at least 0, but is -1"),
        (
            ["--space", "lr=1e-3..1e-1", "--lr", "0.1"],
            "--space lr=.*: this option is the same for all trials",
        ),
        (
            ["--data.val_size", "0"],
            "a search chooses by validation data: give --judge a metric of these, or --data",
        ),
        (["--arch", "mlp", "maxpool"], "give one --arch: mlp, maxpool"),
        (["--data.root", "shapes", "--batch_size", "8"], "shapes has no test images"),
    ],
)
def test_wrong_usage_of_search_is_one_line(flags: list[str], message: str, workspace: Path) -> None:
    write_pictures(workspace / "shapes", train=100, test=0)
    with pytest.raises(UserError, match=message) as caught:
        search.main(["--arch", "mlp", "--jobs", "1", "--data.val_size", "8", *flags])
    assert "\n" not in str(caught.value)
    assert [path.name for path in workspace.iterdir()] == ["shapes"]
