"""What a command says at once, before torch is imported, and what it refuses then."""

from pathlib import Path

import pytest
from lightning.pytorch.demos.boring_classes import BoringModel

from convblocks import wings
from convblocks.command_line import options_of
from convblocks.errors import UsageError, UserError
from convblocks.record.directory import RunDirectory
from convblocks.settings.options import begin, refuse_misspelt
from convblocks.settings.parser import make_parser
from tests.scripts import run_script

# For each command of BEGINS its words and its first line, in a folder with a checkpoint.
LINES = {name: ("last.ckpt", f"{name}: last.ckpt") for name in wings.BEGINS} | {
    "fit": (
        "--arch maxpool --threads 1",
        "fit: maxpool, epochs 5 -> lightning_logs/maxpool/version_N",
    ),
    "compare": (
        "--seeds 2 --epochs 3",
        "compare: 6 trials (0 finished), epochs 3 -> lightning_logs/compare",
    ),
    "search": (
        "--arch mlp --trainer.max_steps 9 --name s",
        "search: 40 trials (0 finished), steps 9 -> lightning_logs/s",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", wings.BEGINS)
def test_first_line_comes_before_torch(name: str, workspace: Path) -> None:
    Path("last.ckpt").touch()
    Path("torch.py").write_text("raise SystemExit('torch was imported')")
    words, line = LINES[name]
    done = run_script(
        name, *words.split(), cwd=workspace, environment={"PYTHONPATH": "."}, fresh=True
    )
    first, *others = done.stdout.splitlines()
    assert first == line
    assert "torch was imported\n" in done.stderr
    if name not in ("compare", "search"):  # whose server imports it, while they say more
        assert (others, done.stderr) == ([], "torch was imported\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("fit", "--arch mlp --config no.yaml", "--config no.yaml: No such file or directory"),
        ("fit", "--arch mlp --resume", "no unfinished run of mlp without a name in lightning"),
        ("evaluate", "no.ckpt", "no.ckpt is neither a run with a checkpoint nor a "),
        ("compare", "--from no.csv", "no.csv: No such file or directory"),
        ("compare", "--jobs two", "argument --jobs: invalid positive value: 'two'"),
        ("fit", "--model own.Nett", "own has no class or function 'Nett': did you mean Net?"),
        ("fit", "--model deep.down.own.Nett", "deep.down.own has no class or function 'Nett': "),
        ("search", "--arch maxpol", "unknown architecture 'maxpol': did you mean maxpool?"),
    ],
)
def test_mistake_that_needs_no_torch_is_told_without_it(
    name: str, words: str, message: str, workspace: Path
) -> None:
    Path("torch.py").write_text("raise SystemExit('torch was imported')")
    Path("deep/down").mkdir(parents=True)
    for own in (Path("own.py"), Path("deep/down/own.py")):
        own.write_text("import torch\n\n\nclass Net(torch.nn.Module): ...\n")
    done = run_script(
        name, *words.split(), cwd=workspace, environment={"PYTHONPATH": "."}, fresh=True
    )
    assert done.stderr.startswith(f"{name}.py: {message}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--arch is required"),
        ("--arch mlp --epoch 3", "unrecognized arguments: --epoch=3: did you mean --epochs"),
        ("--arch mlp --learning_rate 3", "did you mean --lr"),
        ("--arch resnet", "unknown architecture 'resnet': choose one of mlp, maxpool, batchnorm"),
        ("--name lost --resume", "there is no run lightning_logs/lost"),
        ("--arch mlp --name ../run", "must be a relative path below"),
        ("--modle mine.Net", "unrecognized arguments: --modle=mine.Net: did you mean --model"),
        ("--arch mlp --name taken", "lightning_logs/taken exists: continue with --resume, or"),
    ],
)
def test_words_that_fit_refuses_are_refused_first(
    words: str, message: str, workspace: Path
) -> None:
    RunDirectory("taken").create()
    RunDirectory("taken").config.touch()
    with pytest.raises(UserError, match=message):
        begin("fit", words.split())


@pytest.mark.parametrize("name", ["validate", "evaluate", "predict", "demo", "export"])
def test_command_that_reads_a_run_says_that_it_needs_one(name: str) -> None:
    with pytest.raises(UsageError, match=r"give a run or a checkpoint, for example: .* maxpool/"):
        begin(name, [])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--arch mlp --epochs 2 --name a/b", "fit: mlp, epochs 2 -> lightning_logs/a/b"),
        (
            "--arch mlp --trainer.default_root_dir d --name a",
            "fit: mlp, epochs 5 -> d/lightning_logs/a",
        ),
        ("--config c.yaml", "fit: mlp, epochs 9, time 00:01 -> lightning_logs/mlp/version_N"),
        # A module may name its folder itself.
        ("--model mine.Net --trainer.max_steps 7", "fit: mine.Net, steps 7 -> lightning_logs"),
        ("--arch mlp --fast false", "fit: mlp, epochs 5 -> lightning_logs/mlp/version_N"),
        # These write nothing.
        ("--arch mlp --check_resume", "fit: mlp, check_resume"),
        ("--arch mlp --fast_dev_run", "fit: mlp, fast_dev_run"),
        # As each config.yaml has them.
        ("--arch mlp --trainer.max_steps -1", "fit: mlp, epochs 5 -> lightning_logs/mlp/version_N"),
        (
            "--arch mlp --trainer.fast_dev_run false",
            "fit: mlp, epochs 5 -> lightning_logs/mlp/version_N",
        ),
    ],
)
def test_first_line_says_what_the_words_say(words: str, line: str, workspace: Path) -> None:
    Path("c.yaml").write_text("{arch: mlp, epochs: 9, trainer: {max_time: 00:01}}")
    assert begin("fit", [*words.split(), "--threads=1"]) == [line]


@pytest.mark.parametrize(
    "words",
    [
        "--help_all",
        "--arch mlp --print_config",  # its output is a config
    ],
)
def test_line_is_left_out_where_it_would_be_in_the_way(words: str, workspace: Path) -> None:
    assert not begin("fit", words.split())


def test_no_option_of_the_parser_is_taken_for_a_misspelt_one() -> None:
    for parser in (make_parser(), make_parser(BoringModel, None)):
        refuse_misspelt([[f"--{option}"] for option in options_of(parser)])


def test_option_may_be_one_of_another_packages_wing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wings, "others", lambda: ["one of them"])
    assert begin("fit", ["--arch", "mlp", "--threads", "1", "--epoch", "3"])
