"""What README.md and docs/manual/use.md show of commands is what these have printed."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from convblocks.errors import UserError
from lab.pages import sessions
from lab.pages.sessions import PICTURES, README, SESSIONS, USE
from lab.pages.writing import SECTION, write_sections
from tests.conftest import DEBUG, REPOSITORY, needs
from tests.quick_python import quick_python


def keep(data: Path, name: str, printed: str, origin: str = "a machine; commit abc1234; 2025-01-02") -> None:
    (data / "sessions").mkdir(parents=True, exist_ok=True)
    (data / "sessions" / f"{name}.txt").write_text(f"{origin}\n$ {SESSIONS[name]}\n{printed}\n")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where pages are written."""
    (tmp_path / "out" / "docs" / "manual").mkdir(parents=True)
    return tmp_path / "out"


def sections_of(page: Path) -> dict[str, str]:
    return dict(SECTION.findall(page.read_text()))


def commands_in(text: str) -> str:
    """What a page asks the reader to type, a command that is broken over lines in one."""
    blocks: list[str] = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r" \\\n +", " ", "".join(blocks))


@pytest.mark.parametrize("name", SESSIONS)
def test_a_command_stands_before_what_it_prints(name: str) -> None:
    page = README if name in sessions.shown_on(README) else USE
    before, mark, _ = (REPOSITORY / page).read_text().partition(f"<!-- session {name}: begin -->")
    assert SESSIONS[name] in commands_in(before)
    assert mark or name == "draw-shapes"  # which prints nothing


@pytest.mark.parametrize("page", [README, USE])
def test_a_page_shows_what_was_printed_and_where(page: str, tmp_path: Path, out: Path) -> None:
    """Of training only the end."""
    own = sessions.shown_on(page)
    for number, name in enumerate(own):
        keep(tmp_path, name, f"epoch 1\n\ntest accuracy of {name}\n\nand that", f"machine {number % 2}")
    sessions.write_transcripts(page, tmp_path, out)
    written = sections_of(out / page)
    for name in own:
        start = "" if name == "fit" else "epoch 1\n\n"
        assert written[f"session {name}"].startswith(f"```\n{start}test accuracy of {name}\n\nand that\n```")
    where = written["sessions" if page == USE else "session fit"]
    assert where.endswith("\n".join(["Printed on machine 0.", "Printed on machine 1."][: len(own)]))


def test_the_transcript_of_another_command_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, "fit", "epoch 1/1")
    with pytest.raises(UserError, match=r"fit\.txt is of another command than python scripts/fit\.py --arch mlp"):
        sessions.read(tmp_path, "fit", "python scripts/fit.py --arch mlp")


def test_one_section_of_a_page_does_not_undo_another_and_each_has_marks(tmp_path: Path) -> None:
    changed = {"best": "99 %.", "answer": "MaxPool."}
    for name, content in changed.items():
        write_sections(tmp_path, README, {name: content})
    assert sections_of(tmp_path / README) == sections_of(REPOSITORY / README) | changed
    assert len({SECTION.sub("", (folder / README).read_text()) for folder in (tmp_path, REPOSITORY)}) == 1
    with pytest.raises(ValueError, match=r"README\.md has no marks for session demo"):
        write_sections(tmp_path, README, {"session demo": "It runs."})


def test_a_session_keeps_all_that_is_printed_and_its_picture(tmp_path: Path) -> None:
    """In order, errors too, without paths of this machine and spaces at the ends of lines."""
    command = f"echo {REPOSITORY}/data '  '; ls nothing lightning_logs/own; echo ink > seen.png; false --show seen.png"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").touch()
    sessions.run({"predict": command}, {"lightning_logs/own": tmp_path / "run"}, tmp_path / "data")
    origin, printed = sessions.read(tmp_path / "data", "predict", command)
    assert re.fullmatch(r".* torch .*; commit .*; \d{4}-\d\d-\d\d", origin)
    assert re.fullmatch(r"data\nls: .*nothing.*\nlightning_logs/own:\nsummary\.json", printed)
    assert (tmp_path / "manual" / "seen.png").read_text() == "ink\n"


def test_a_session_that_ends_otherwise_is_reported_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ended with status 3:\nso far"):
        sessions.run({"look": "echo so far; exit 3"}, {}, tmp_path / "data")
    assert list((tmp_path / "data" / "sessions").iterdir()) == []


@pytest.mark.nightly
def test_all_commands_run_one_after_the_other(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that are trained for a moment, and one that any network may stand in for."""
    needs("onnx")
    monkeypatch.setattr(sys, "executable", str(quick_python()))
    flags = shlex.join(DEBUG)
    short = {name: f"{command} {flags}" if "fit.py" in command else command for name, command in SESSIONS.items()}
    pics = tmp_path / "pics"
    sessions.draw_pictures(pics)
    names = {path.name for path in pics.iterdir()}
    assert len(names) == len(PICTURES) + 1
    assert {"blank.png", "crossed-photo.jpg", "curved-stem-photo.jpg", "open-paper.png"} <= names
    runs = dict.fromkeys(("lightning_logs/maxpool", "lightning_logs/batchnorm"), trained.parents[1])
    sessions.run(short, {**runs, "pics": pics}, tmp_path / "data")
    printed = {name: sessions.read(tmp_path / "data", name, command)[1] for name, command in short.items()}
    assert re.search(r"\ntest accuracy .*, 2 epochs in ", printed["fit"])
    assert "on the 10,000 test images in data/MNIST/raw\n" in printed["evaluate"]
    assert printed["predict"].endswith("predict.py: 1 of 7 pictures could not be recognised")
    assert "Decoding 1,560 pictures\n" in printed["fit-shapes"]
    assert "shapes/test/cross/316.png" in printed["predict-shapes"]
    assert "It makes the same predictions for all 10,000 test images as the checkpoint." in printed["export"]
    pictures = {path.name for path in (tmp_path / "manual").iterdir()}
    assert pictures == {"predictions.png"}
