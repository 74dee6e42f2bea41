"""In a terminal no progress bar stays, tables fit, and commands can be copied."""

import re
from pathlib import Path

import pytest

from convblocks.command_line import Parser
from convblocks.errors import UsageError
from convblocks.text import duration
from tests.conftest import DEBUG
from tests.terminal import script_in_terminal


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (119, "2 min"), (3599, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_duration_is_in_whole_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("option", "suggestion"),
    [("--jbos", ": did you mean --jobs\\?"), ("--root", ": did you mean --data.root\\?"), ("--quiet", "")],
)
def test_option_that_is_unknown_suggests_a_similar_one_if_there_is_one(option: str, suggestion: str) -> None:
    parser = Parser()
    for known in ("--jobs", "--data.root", "--show"):
        parser.add_argument(known)
    with pytest.raises(UsageError, match=f"^unrecognized arguments: {option}{suggestion}$"):
        parser.parse_args([option])


@pytest.mark.slow
def test_run_in_a_terminal_shows_one_bar_that_vanishes_and_prints_the_next_commands(workspace: Path) -> None:
    enough_to_be_seen = ["--trainer.limit_train_batches", "900"]
    screen = script_in_terminal("fit", *DEBUG, *enough_to_be_seen, "--arch", "mlp", cwd=workspace, width=80)
    assert screen.status == 0, screen.written
    heading, columns, first, second, *_ = screen.lines
    assert heading == "mlp · 79,510 parameters · cpu · seed 0 -> lightning_logs/mlp/version_0"
    assert columns.split() == ["epoch", "train", "loss", "acc", "test", "loss", "acc", "time"]
    assert (first[:4], second[:4]) == ("1/2 ", "2/2 ")
    assert len(columns) == len(first) == len(second) <= 80
    assert "/900 [00:0" in screen.written
    assert "v_num" not in screen.written
    assert not any("Epoch" in line or "it/s" in line for line in screen.lines)
    evaluate, demo, tensorboard = screen.commands()
    assert [Path(evaluate[1]).name, Path(demo[1]).name] == ["evaluate.py", "demo.py"]
    assert tensorboard == ["tensorboard", "--logdir", "lightning_logs"]
    for checkpoint in (evaluate[2], demo[2]):
        assert (workspace / checkpoint).is_file()


@pytest.mark.slow
def test_comparison_in_a_terminal_shows_what_differs_and_ends_with_its_conclusion(workspace: Path) -> None:
    short = ["--epochs", "2", "--trainer.limit_train_batches", "40", "--trainer.limit_val_batches", "2"]
    flags = [*short, "--arch", "mlp", "--seeds", "1", "--grid", "lr=1e-3,1e-2", "--data.val_size", "1000"]
    screen = script_in_terminal("compare", *flags, cwd=workspace, width=80)
    assert screen.status == 0, screen.written
    assert screen.lines[0].startswith("2 trials with threads 1, epochs 2, trainer.limit_train_batches 40,")
    assert {line for line in screen.lines if "mlp lr=1e-" in line and "seed 0: test accuracy" in line}
    assert re.search("0 of 2 +\x1b", screen.written)
    assert not any(" of 2  " in line for line in screen.lines)
    assert " ".join(screen.lines).rstrip().endswith("for other seeds, not for other images.")
