"""In a terminal no line is wrapped, no progress bar stays, and commands can be copied."""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from convblocks.command_line import Parser
from convblocks.console import echo
from convblocks.data.images import ImageSets
from convblocks.errors import UsageError
from convblocks.text import duration
from tests.conftest import DEBUG, needs
from tests.search.made_up import SHORT
from tests.terminal import Screen, in_terminal, script_in_terminal

WIDTHS = [80, pytest.param(120, marks=pytest.mark.nightly)]

PATH = "lightning_logs/batchnorm/version_0/checkpoints/last.ckpt"


def spoken(code: str, width: int, folder: Path) -> Screen:
    return in_terminal([sys.executable, "-c", f"from convblocks.console import *; {code}"], folder, width)


def assert_fits(screen: Screen, width: int) -> None:
    assert screen.status == 0, screen.written
    assert screen.widest <= width, [line for line in screen.lines if len(line) > width]


def test_a_long_line_is_broken_between_words(tmp_path: Path) -> None:
    screen = spoken(f"echo(20 * 'word ' + {PATH!r}); echo('below')", 40, tmp_path)
    assert screen.lines == [*[" ".join(["word"] * count) for count in (8, 8, 4)], PATH, "below", ""]


def test_in_a_pipe_a_line_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    echo(40 * "word ")
    assert capsys.readouterr().out == 40 * "word " + "\n"


@pytest.mark.parametrize(("width", "lines"), [(80, 2), (120, 1)])
def test_a_long_command_can_be_copied(width: int, lines: int, tmp_path: Path) -> None:
    screen = spoken(f"echo_command(['python', 'scripts/evaluate.py', {PATH!r}], 'look closer   ')", width, tmp_path)
    assert_fits(screen, width)
    assert len([line for line in screen.lines if line]) == lines
    assert screen.commands() == [["python", "scripts/evaluate.py", PATH]]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (119, "2 min"), (3599, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_a_time_is_in_whole_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("given", "suggestion"),
    [
        ("--jbos", ": did you mean --jobs\\?"),
        ("--max_jobs", ": did you mean --jobs\\?"),
        ("--root", ": did you mean --data.root\\?"),
        ("--data.rot=3", ": did you mean --data.root\\?"),
        ("--quiet", ""),
        ("stray", ""),
    ],
)
def test_an_unknown_option_suggests_a_similar_one_if_there_is_one(given: str, suggestion: str) -> None:
    parser = Parser()
    for option in ("--jobs", "--data.root", "--show"):
        parser.add_argument(option)
    with pytest.raises(UsageError, match=f"^unrecognized arguments: {given}{suggestion}$"):
        parser.parse_args([given])


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_run_shows_one_bar_that_vanishes_and_prints_the_next_commands(width: int, workspace: Path) -> None:
    enough_to_be_seen = ["--trainer.limit_train_batches", "900"]
    screen = script_in_terminal("fit", *DEBUG, *enough_to_be_seen, "--arch", "mlp", cwd=workspace, width=width)
    assert_fits(screen, width)
    heading, columns, first, second, *_ = screen.lines
    assert heading == "mlp · 79,510 parameters · cpu · seed 0 -> lightning_logs/mlp/version_0"
    assert columns.split() == ["epoch", "train", "loss", "acc", "test", "loss", "acc", "time"]
    assert (first[:4], second[:4]) == ("1/2 ", "2/2 ")
    assert len(columns) == len(first) == len(second)
    assert "Epoch 1:" in screen.written
    assert "/900 [00:0" in screen.written
    assert "v_num" not in screen.written
    assert not any("Epoch" in line or "it/s" in line for line in screen.lines)
    evaluate, demo, tensorboard = screen.commands()
    assert [Path(evaluate[1]).name, Path(demo[1]).name] == ["evaluate.py", "demo.py"]
    assert tensorboard == ["tensorboard", "--logdir", "lightning_logs"]
    for checkpoint in (evaluate[2], demo[2]):
        assert (workspace / checkpoint).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_shows_the_settings_that_differ_and_ends_with_its_conclusion(width: int, workspace: Path) -> None:
    short = ["--epochs", "2", "--trainer.limit_train_batches", "40", "--trainer.limit_val_batches", "2"]
    flags = [*short, "--arch", "mlp", "--seeds", "1", "--grid", "lr=1e-3,1e-2", "--data.val_size", "1000"]
    screen = script_in_terminal("compare", *flags, cwd=workspace, width=width)
    assert_fits(screen, width)
    assert " ".join(screen.lines).startswith("2 trials with threads 1, epochs 2, trainer.limit_train_batches 40,")
    assert {line for line in screen.lines if "mlp lr=1e-" in line and "seed 0: test accuracy" in line}
    assert re.search("0 of 2 +\x1b", screen.written)
    assert "seed_0" not in screen.written
    assert not any(" of 2  " in line for line in screen.lines)
    assert " ".join(screen.lines).rstrip().endswith("for other seeds, not for other images.")


@pytest.mark.nightly
@pytest.mark.parametrize("width", [80, 120])
def test_a_search_shows_its_trials_and_ends_with_the_winners_command(width: int, workspace: Path) -> None:
    flags = [*SHORT, "--trials", "3", "--confirm", "1", "--seeds", "1", "--name", "s"]
    screen = script_in_terminal("search", *flags, cwd=workspace, width=width)
    assert_fits(screen, width)
    assert " ".join(screen.lines).startswith("3 trials, then 2 confirming runs of 2 epochs:")
    assert "lr 0." in screen.written
    assert not any(" of 3  " in line for line in screen.lines)
    (winner,) = screen.commands()
    assert Path(winner[1]).name == "fit.py"
    assert winner[-3:] == ["--print_config", ">", "s.yaml"]


@pytest.mark.nightly
@pytest.mark.parametrize("width", [80, 120])
def test_no_line_about_a_network_is_wrapped(width: int, trained: Path, workspace: Path, digits: ImageSets) -> None:
    needs("onnx")
    Image.fromarray(255 - digits.test.images[0, 0].numpy()).resize((300, 300)).save("seven.png")
    (workspace / "lightning_logs").symlink_to(trained.parents[2])
    checkpoint = "lightning_logs/batchnorm/checkpoints/last.ckpt"
    evaluated = script_in_terminal("evaluate", checkpoint, cwd=workspace, width=width)
    predicted = script_in_terminal("predict", checkpoint, "seven.png", cwd=workspace, width=width)
    exported = script_in_terminal("export", checkpoint, "--output", "digits", cwd=workspace, width=width)
    summary = script_in_terminal("summary", cwd=workspace, width=80)  # of a fixed width
    for screen in (summary, evaluated, predicted, exported):
        assert_fits(screen, width)
    assert evaluated.lines[-2].startswith("accuracy 9")
    assert exported.lines[-2].startswith("batchnorm: accuracy 9")
