"""A run shows how far it is: in one line that fits, or in lines of a log file."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import pytest
from lightning import LightningModule, seed_everything
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from nbclient import NotebookClient
from torch.utils.data import DataLoader, IterableDataset

from convblocks.run import progress
from convblocks.run.make import make_run
from convblocks.run.progress import RunProgress
from convblocks.settings.config import Config
from exact_resume.training import callbacks_of
from tests.any_task.regression import Curve, Points
from tests.any_task.unjudged import Adversaries
from tests.core.any_trainer.plain import trainer
from tests.forked_python import python_path

# All that a line has, in its order.
FULL = re.compile(
    r"epoch (?P<epoch>\d+)/2, 00:\d\d left, loss (?P<loss>\d+\.\d{4}), \d+\.\d\d steps/s"
    r"(, batch (?P<batch>\d+)/16)? \|(?P<bar>.{7,})\|"
)

Captured = pytest.CaptureFixture[str]

# The data have a loader of validation, which not every module wants.
pytestmark = pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader`")


@pytest.fixture(autouse=True)
def at_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left out, however quick the run is."""
    monkeypatch.setattr(progress, "LIVE", 1e-9)
    monkeypatch.setattr(progress, "ELSEWHERE", 0.0)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def train(tmp_path: Path, capsys: Captured) -> Callable[..., list[str]]:
    """Train a module, and return each line that was drawn, or printed."""

    def trained(
        module: LightningModule,
        is_live: bool = True,
        loader: Any = None,
        ckpt_path: Any = None,
        **settings: Any,
    ) -> list[str]:
        usual: dict[str, Any] = {"limit_train_batches": 1.0, "num_sanity_val_steps": 0}
        usual |= {"logger": False, "enable_checkpointing": False}
        usual |= {"callbacks": [RunProgress(is_live)], "enable_progress_bar": True}
        points: Any = Points()
        if loader is not None:
            points.train_dataloader = lambda: loader
        trainer(tmp_path, **(usual | settings)).fit(module, datamodule=points, ckpt_path=ckpt_path)
        return [line for line in re.split("[\r\n]", capsys.readouterr().out) if line.strip()]

    return trained


class Stream(IterableDataset[Any]):
    """Points whose number nobody knows."""

    def __iter__(self) -> Iterator[Any]:
        points: Any = Points().points(0)
        return iter(points[index] for index in range(64))


def shares(lines: Sequence[str]) -> list[float]:
    """How much of the bar is full in each line."""
    return [bar.count("█") / len(bar) for bar in bars(lines)]


def bars(lines: Sequence[str]) -> list[str]:
    return [line.partition("|")[2].removesuffix("|") for line in lines]


def never_shrinks(lines: Sequence[str]) -> bool:
    """A bar may be shorter than the one before, and then seems to be less full, by less than
    one of its columns.
    """
    columns = min(map(len, bars(lines)))
    return all(later > earlier - 1 / columns for earlier, later in pairwise(shares(lines)))


# 64 have room for thousands of steps a second, but not for a batch.
@pytest.mark.parametrize(("columns", "has_batch"), [(80, True), (64, False)])
def test_line_fits_with_epoch_time_left_loss_speed_and_bar(
    columns: int, has_batch: bool, train: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = train(Curve())
    assert {len(line) for line in lines} == {columns}
    found = [match for match in map(FULL.fullmatch, lines) if match]
    assert {match["epoch"] for match in found} == {"1", "2"}
    assert {bool(match["batch"]) for match in found} == {has_batch}


def test_line_fits_where_it_has_no_room_for_all(
    train: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert {len(line) for line in train(Curve())} == {60}


def test_bar_fills_once_in_the_whole_run(train: Callable[..., list[str]]) -> None:
    lines = train(Curve())
    assert never_shrinks(lines)
    middle = next(line for line in lines if line.startswith("epoch 2"))
    assert shares([middle]) == pytest.approx([0.5], abs=0.1)
    assert shares(lines)[-1] > 0.9


@pytest.mark.parametrize(
    "limit", [{"max_epochs": -1, "max_steps": 20}, {"max_epochs": 900, "max_time": {"seconds": 1}}]
)
def test_other_limits_tell_the_time_left_too(
    limit: dict[str, Any], train: Callable[..., list[str]]
) -> None:
    lines = [line for line in train(Curve(), **limit) if " left, " in line]
    assert never_shrinks(lines)
    assert shares(lines)[-1] - shares(lines)[0] > 0.5
    assert all("00:0" in line for line in lines)


def test_time_left_is_unknown_until_iterable_data_have_ended_once(
    train: Callable[..., list[str]],
) -> None:
    lines = train(Curve(), loader=DataLoader(Stream(), 8))
    first, second = ([line for line in lines if f"epoch {n}/2" in line] for n in (1, 2))
    assert not any(" left" in line for line in first)
    assert any(re.search(r" left, .* batch \d+ \|", line) for line in second)


def test_resumed_run_begins_where_it_was(tmp_path: Path, train: Callable[..., list[str]]) -> None:
    half = trainer(tmp_path, max_epochs=3, logger=False, enable_checkpointing=False)
    half.fit(Curve(), Points())
    half.save_checkpoint(tmp_path / "half.ckpt")
    lines = train(Curve(), max_epochs=4, ckpt_path=tmp_path / "half.ckpt")
    lines = [line for line in lines if " left, " in line]
    assert lines[0].startswith("epoch 4/4, 00:0")
    assert shares(lines)[0] == pytest.approx(0.75, abs=0.15)


def test_evaluation_is_shown_in_the_same_line(train: Callable[..., list[str]]) -> None:
    lines = [line for line in train(Curve(), val_check_interval=8) if "validation" in line]
    places = [re.findall(r"validation batch (\d)/2 \|", line) for line in lines]
    assert places == 4 * [["1"], ["2"]]


def test_loops_of_evaluation_alone_show_how_much_of_them_is_done(
    tmp_path: Path, capsys: Captured
) -> None:
    bars: dict[str, Any] = {"callbacks": [RunProgress()], "enable_progress_bar": True}
    trainer(tmp_path, logger=False, **bars).test(Curve(), Points(), verbose=False)
    lines = [line for line in capsys.readouterr().out.split("\r") if line.startswith("test batch")]
    assert lines[-1].startswith("test batch 4/4 |")
    assert shares(lines)[-1] > 0.9


def test_log_file_has_lines_with_step_loss_and_time_left(train: Callable[..., list[str]]) -> None:
    lines = train(Curve(), is_live=False)
    line = r"epoch 2/2, 00:\d\d left, loss \d\.\d{4}, [\d.]+ steps/s, batch 16/16"
    assert any(re.fullmatch(line, text) for text in lines)
    assert not any("|" in line for line in lines)


def test_short_run_leaves_a_log_file_as_it_is(
    train: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "ELSEWHERE", 30.0)
    assert train(Curve(), is_live=False) == []


def test_manual_optimization_shows_what_the_module_logs_for_the_bar(
    train: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Adversaries.log
    monkeypatch.setattr(
        Adversaries, "log", lambda self, name, loss, **_: log(self, name, loss, prog_bar=True)
    )
    assert any(
        re.search(r"batch \d+/16, g_loss -?\d+\.\d{4}", line) for line in train(Adversaries())
    )


def test_loss_of_accumulated_gradients_is_that_of_the_batch(
    train: Callable[..., list[str]],
) -> None:
    def losses(**settings: Any) -> list[str]:
        seed_everything(0, verbose=False)
        lines = train(Curve(lr=0.0), loader=DataLoader(Points().points(0), 16), **settings)
        return [match["loss"] for match in map(FULL.fullmatch, lines) if match]

    assert losses(accumulate_grad_batches=4) == losses()


class Talking(Curve):
    """Says something in the middle of an epoch."""

    def on_validation_epoch_end(self) -> None:
        self.print("an evaluation")


def test_what_is_printed_stands_above_the_line(train: Callable[..., list[str]]) -> None:
    assert [line for line in train(Talking()) if "evaluation" in line] == 2 * ["an evaluation"]


def test_loss_is_read_only_when_it_is_shown(
    train: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it makes the CPU wait for a GPU."""
    monkeypatch.setattr(progress, "LIVE", 1e9)
    monkeypatch.delattr(progress, "losses_of")
    (line,) = {*train(Curve())}
    assert line.startswith("epoch 1/2 |")


@pytest.mark.parametrize(
    ("flags", "kinds"),
    [
        ([], [RunProgress]),
        (["--trainer.enable_progress_bar", "false"], []),
        (["--config", "trainer: {enable_model_summary: null}"], [RunProgress]),
    ],
)
def test_run_has_one_line_of_progress_unless_it_is_turned_off(
    flags: list[str], kinds: list[type], workspace: Path
) -> None:
    """Nor does a config without a model summary ask for one."""
    run = make_run(Config.parse(["--arch", "mlp", *flags]))
    kinds_of_bars = (ProgressBar, ModelSummary)
    assert [type(each) for each in callbacks_of(run.trainer, *kinds_of_bars)] == kinds


CELL = """
import logging, warnings
from lightning import Trainer
from convblocks import RunProgress
from tests.any_task.regression import Curve, Points

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.simplefilter("ignore")
quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
trainer = Trainer(max_epochs=2, accelerator="cpu", callbacks=[RunProgress()], **quiet)
trainer.fit(Curve(), datamodule=Points())
"""


@pytest.mark.slow
def test_line_in_a_notebook_is_drawn_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", python_path())
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    NotebookClient(notebook, timeout=600, startup_timeout=600).execute()
    assert {output["name"] for output in notebook.cells[0].outputs} == {"stdout"}
    assert notebook.cells[0].outputs[0]["text"].startswith("\repoch 1/2")
