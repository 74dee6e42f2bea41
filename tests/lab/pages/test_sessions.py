"""What README.md and docs/manual/use.md show of commands is what these have printed."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from lab.pages import sessions
from lab.pages.sessions import PICTURES, README, SESSIONS, USE
from tests.conftest import DEBUG, REPOSITORY, needs
from tests.quick_python import quick_python


def commands_in(text: str) -> str:
    """What a page asks the reader to type, with broken lines joined."""
    blocks: list[str] = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r" \\\n +", " ", "".join(blocks))


@pytest.mark.parametrize("name", SESSIONS)
def test_command_stands_before_what_it_prints(name: str) -> None:
    page = README if name in sessions.shown_on(README) else USE
    before, mark, _ = (REPOSITORY / page).read_text().partition(f"<!-- session {name}: begin -->")
    assert SESSIONS[name] in commands_in(before)
    assert mark or name == "draw-shapes"  # which prints nothing


@pytest.mark.nightly
def test_sessions_run_one_after_the_other(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that are trained for a moment, and one that any network may stand in for."""
    needs("onnx")
    monkeypatch.setattr(sys, "executable", str(quick_python()))
    flags = shlex.join(DEBUG)
    short = {name: f"{command} {flags}" if "fit.py" in command else command for name, command in SESSIONS.items()}
    pics = tmp_path / "pics"
    sessions.draw_pictures(pics)
    assert len(list(pics.iterdir())) == len(PICTURES) + 1
    runs = dict.fromkeys(("lightning_logs/maxpool", "lightning_logs/batchnorm"), trained.parents[1])
    sessions.run(short, {**runs, "pics": pics}, tmp_path / "data")
    printed = {name: sessions.read(tmp_path / "data", name, command)[1] for name, command in short.items()}
    assert re.search(r"\ntest accuracy .*, 2 epochs in ", printed["fit"])
    assert "on the 10,000 test images in data/MNIST/raw\n" in printed["evaluate"]
    assert printed["predict"].endswith("predict.py: 1 of 7 pictures could not be recognised")
    assert "Decoding 1,560 pictures\n" in printed["fit-shapes"]
    assert "shapes/test/cross/316.png" in printed["predict-shapes"]
    assert "It makes the same predictions for all 10,000 test images as the checkpoint." in printed["export"]
    assert [path.name for path in (tmp_path / "manual").iterdir()] == ["predictions.png"]
