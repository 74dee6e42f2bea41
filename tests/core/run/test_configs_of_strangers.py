"""What a config may make a run do: only what it names is called, if it is of the wanted kind."""

from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.run.config import Config
from convblocks.run.run import Run

PARTS = {
    "itself": ("network: &a {a: *a}", "recursion"),
    "digits": ("epochs: " + 5000 * "9", "Exceeds the limit"),
    "large": ("trainer.accumulate_grad_batches: 1" + 30 * "0", "must be below 2.63"),
}


@pytest.mark.parametrize(("text", "message"), PARTS.values(), ids=PARTS)
def test_config_with_too_much_is_one_line(text: str, message: str, workspace: Path) -> None:
    Path("config.yaml").write_text(f"arch: mlp\n{text}\n")
    with pytest.raises(UserError, match=message) as caught:
        Config.parse(["--config", "config.yaml"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("option", ["arch", "loss", "optimizer", "lr_scheduler", "trainer.callbacks", "data.source"])
@pytest.mark.parametrize("named", ["os.system", "builtins.max", "builtins.dict"])
def test_what_is_of_another_kind_is_not_called(option: str, named: str, workspace: Path) -> None:
    words = ["--arch", "mlp", f"--{option}", named, *(["--network.command", "touch here"] if option == "arch" else [])]
    with pytest.raises(UserError, match=r"subclass|denied|[Ee]xpected|no signature|no attribute") as caught:
        Run(Config.parse(words))
    assert "\n" not in str(caught.value)
    assert not list(workspace.iterdir())
