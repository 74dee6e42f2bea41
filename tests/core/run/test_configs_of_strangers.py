"""What a config may make a run do: nothing endless, and only what it names is called, if it is of the wanted kind."""

from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.run.config import Config
from convblocks.run.directory import RunDirectory
from convblocks.run.run import Run

TENFOLD = ", ".join(["*a0"] * 10)
# Of lists, and of what is merged: each level has ten of the one before.
LISTS = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [{TENFOLD.replace('a0', f'a{n - 1}')}]" for n in range(1, 9)]
MERGED = ["a0: &a0 {k: 1}"] + [f"a{n}: &a{n} {{<<: [{TENFOLD.replace('a0', f'a{n - 1}')}]}}" for n in range(1, 9)]
DEEP = [line.replace("[1]", "{k: [1]}") for line in LISTS]
PARTS = {
    "aliases": ("network:\n  " + "\n  ".join(LISTS), "it has more than 30 aliases"),
    "merged": ("network:\n  " + "\n  ".join(MERGED), "it has more than 30 aliases"),
    "deep": ("network:\n  " + "\n  ".join(DEEP), "it has more than 30 aliases"),
    "itself": ("network: &a {a: *a}", "recursion"),
    "digits": ("epochs: " + 5000 * "9", "a number has 1,000 digits"),
    "hexadecimal": ("epochs: 0x" + 5000 * "f", "a number has 1,000 digits"),
    "large": ("trainer.accumulate_grad_batches: 1" + 30 * "0", "must be below 2.63"),
}


@pytest.mark.parametrize(("text", "message"), PARTS.values(), ids=PARTS)
def test_what_stands_for_too_much_is_one_line(text: str, message: str, workspace: Path) -> None:
    Path("config.yaml").write_text(f"arch: mlp\n{text}\n")
    with pytest.raises(UserError, match=message) as caught:
        Config.parse(["--config", "config.yaml"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["aliases", "hexadecimal"])
def test_what_stands_for_too_much_is_not_resumed(part: str, workspace: Path) -> None:
    run = RunDirectory("run")
    run.create()
    run.config.write_text(f"model: 1\nseed: 0\nthreads: 1\ntrainer: 1\n{PARTS[part][0]}\n")
    with pytest.raises(UserError, match="it is missing, damaged or of an older version"):
        Config.parse(["--name", "run", "--resume"])


@pytest.mark.parametrize("option", ["arch", "loss", "optimizer", "lr_scheduler", "trainer.callbacks", "data.source"])
@pytest.mark.parametrize("named", ["os.system", "builtins.max", "builtins.dict"])
def test_what_is_of_another_kind_is_not_called(option: str, named: str, workspace: Path) -> None:
    words = ["--arch", "mlp", f"--{option}", named, *(["--network.command", "touch here"] if option == "arch" else [])]
    with pytest.raises(UserError, match=r"subclass|denied|[Ee]xpected|no signature|no attribute") as caught:
        Run(Config.parse(words))
    assert "\n" not in str(caught.value)
    assert not list(workspace.iterdir())
