"""What README.md and docs/manual/use.md show of commands is what these have printed."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from convblocks.errors import UserError
from convblocks.evaluation import evaluate, export
from convblocks.handwriting import predict
from convblocks.training.config import Config
from docs import sessions
from docs.sections import SECTION, write_sections
from docs.sessions import PICTURES, README, SESSIONS, USE, Session
from tests.conftest import DEBUG, REPOSITORY, needs
from tests.quick_python import quick_python

PARSERS = {"fit": Config.parse, "evaluate": evaluate.parse, "predict": predict.parse, "export": export.parse}


def keep(data: Path, name: str, printed: str, origin: str = "a machine; commit abc1234; 2025-01-02") -> None:
    (data / "sessions").mkdir(parents=True, exist_ok=True)
    (data / "sessions" / f"{name}.txt").write_text(f"{origin}\n$ {SESSIONS[name].command}\n{printed}\n")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where pages are written."""
    (tmp_path / "out" / "docs" / "manual").mkdir(parents=True)
    return tmp_path / "out"


def sections_of(page: Path) -> dict[str, str]:
    return {name: content.strip() for name, content in SECTION.findall(page.read_text())}


def commands_in(text: str) -> str:
    """What a page tells the reader to type, a command that is broken over lines in one."""
    blocks: list[str] = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r" \\\n +", " ", "".join(blocks))


@pytest.mark.parametrize("page", [README, USE])
def test_every_command_stands_on_its_page_before_what_it_prints(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    shown = [name.removeprefix("session ") for name in sections_of(REPOSITORY / page) if name.startswith("session ")]
    assert shown == [name for name, session in SESSIONS.items() if session.page == page]
    for name in shown:
        before, _, _ = text.partition(f"<!-- session {name}: begin -->")
        assert SESSIONS[name].command in commands_in(before)


@pytest.mark.parametrize("name", [name for name, session in SESSIONS.items() if session.page is None])
def test_a_command_of_which_only_the_picture_is_shown_stands_in_use(name: str) -> None:
    text = (REPOSITORY / USE).read_text()
    assert SESSIONS[name].command in commands_in(text)
    assert f"]({SESSIONS[name].picture or 'pictures-panels.png'})" in text


@pytest.mark.parametrize("name", SESSIONS)
def test_every_command_can_be_called(name: str) -> None:
    _, script, *arguments = shlex.split(SESSIONS[name].command)
    if script == "-c":
        compile(arguments[0], name, "exec")
        return
    assert (REPOSITORY / script).is_file()
    PARSERS[Path(script).stem](arguments)


@pytest.mark.parametrize("page", [README, USE])
def test_a_page_shows_what_was_printed_and_where(page: str, tmp_path: Path, out: Path) -> None:
    own = [name for name, session in SESSIONS.items() if session.page == page]
    for name in own:
        keep(tmp_path, name, f"{name} prints this\n\nand that")
    sessions.write_transcripts(page, tmp_path, out)
    written = sections_of(out / page)
    assert {f"session {name}": f"```\n{name} prints this\n\nand that\n```" for name in own}.items() <= written.items()
    assert written["sessions"] == "Printed on a machine; commit abc1234; 2025-01-02."


def test_another_transcript_makes_another_page_and_another_machine_is_told(tmp_path: Path, out: Path) -> None:
    keep(tmp_path, "fit", "epoch 1/1  test acc 96.67 %")
    sessions.write_transcripts(README, tmp_path, out)
    before = (out / README).read_text()
    keep(tmp_path, "fit", "epoch 1/1  test acc 96.68 %", "another machine")
    sessions.write_transcripts(README, tmp_path, out)
    after = (out / README).read_text()
    expected = before.replace("96.67", "96.68").replace("a machine; commit abc1234; 2025-01-02", "another machine")
    assert before != after == expected


def test_the_readme_shows_how_training_ends(tmp_path: Path, out: Path) -> None:
    the_end = "test accuracy 96.12 %\nsee curves    tensorboard"
    keep(tmp_path, "fit", f"maxpool · cpu\n5/5         0.1\n\n{the_end}")
    sessions.write_transcripts(README, tmp_path, out)
    assert sections_of(out / README)["session fit"] == f"```\n{the_end}\n```"


def test_the_transcript_of_another_command_is_refused(tmp_path: Path) -> None:
    keep(tmp_path, "fit", "epoch 1/1")
    with pytest.raises(UserError, match=r"fit\.txt is of another command than python scripts/fit\.py --arch mlp"):
        sessions.read(tmp_path, "fit", "python scripts/fit.py --arch mlp")


def test_one_section_of_a_page_does_not_undo_another(tmp_path: Path) -> None:
    write_sections(tmp_path, README, {"sessions": "On a machine."})
    write_sections(tmp_path, README, {"answer": "MaxPool."})
    expected = sections_of(REPOSITORY / README) | {"sessions": "On a machine.", "answer": "MaxPool."}
    assert sections_of(tmp_path / README) == expected
    without = [SECTION.sub("", path.read_text()) for path in (tmp_path / README, REPOSITORY / README)]
    assert without[0] == without[1]


def test_a_section_without_marks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"README\.md has no marks for session demo"):
        write_sections(tmp_path, README, {"session demo": "It runs."})


@pytest.mark.slow
def test_a_session_keeps_all_that_is_printed_and_its_picture(tmp_path: Path) -> None:
    """In order, errors too, without paths of this machine and spaces at the ends of lines."""
    command = f"echo {REPOSITORY}/data '  '; python --version >&2; ls lightning_logs/own; echo ink > seen.png; exit 1"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").touch()
    sessions.run(
        {"look": Session(USE, command, "seen.png", 1)}, {"lightning_logs/own": tmp_path / "run"}, tmp_path / "data"
    )
    origin, printed = sessions.read(tmp_path / "data", "look", command)
    assert re.fullmatch(r".* torch .*; commit .*; \d{4}-\d\d-\d\d", origin)
    assert re.fullmatch(r"data\nPython 3[\d.]+\nsummary\.json", printed)
    assert (tmp_path / "seen.png").read_text() == "ink\n"


@pytest.mark.slow
def test_a_session_that_ends_otherwise_is_told_and_not_kept(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="ended with status 3:\nso far"):
        sessions.run({"look": Session(USE, "echo so far; exit 3")}, {}, tmp_path / "data")
    assert list((tmp_path / "data" / "sessions").iterdir()) == []


@pytest.fixture(scope="module")
def pics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands recognise."""
    folder = tmp_path_factory.mktemp("drawn") / "pics"
    sessions.draw_pictures(folder)
    return folder


@pytest.mark.slow
def test_the_pictures_are_seven_of_which_one_is_blank(pics: Path) -> None:
    names = {path.name for path in pics.iterdir()}
    assert len(names) == len(PICTURES) + 1
    assert {"blank.png", "crossed-photo.jpg", "curved-stem-photo.jpg", "open-paper.png"} <= names


@pytest.mark.slow
def test_all_commands_run_one_after_the_other(
    trained: Path, pics: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks that are trained for a moment, and one that any network may stand in for."""
    needs("onnx")
    monkeypatch.setattr(sys, "executable", str(quick_python()))
    flags = shlex.join(DEBUG)
    short = {
        name: session._replace(command=f"{session.command} {flags}" if "fit.py" in session.command else session.command)
        for name, session in SESSIONS.items()
    }
    runs = dict.fromkeys(("lightning_logs/maxpool", "lightning_logs/batchnorm"), trained.parents[1])
    sessions.run(short, {**runs, "pics": pics}, tmp_path / "data")
    printed = {name: sessions.read(tmp_path / "data", name, session.command)[1] for name, session in short.items()}
    assert re.search(r"\ntest accuracy .*, 2 epochs in ", printed["fit"])
    assert "on the 10,000 test images in data/MNIST/raw\n" in printed["evaluate"]
    assert printed["predict"].endswith("predict.py: 1 of 7 pictures could not be recognised")
    assert "Decoding 1,560 pictures\n" in printed["fit-shapes"]
    assert "shapes/test/cross/316.png" in printed["predict-shapes"]
    assert "Both make the same predictions for all 10,000 test images as the checkpoint." in printed["export"]
    assert {path.name for path in tmp_path.glob("*.png")} == {session.picture for session in SESSIONS.values()} - {None}
