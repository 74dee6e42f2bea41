"""What README.md and docs/manual/use.md show of commands is what these have printed."""

import re
from pathlib import Path

import pytest

from lab import train
from lab.pages import sessions
from lab.pages.sessions import README, SESSIONS, USE
from lab.pages.writing import DATA
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("name", SESSIONS)
def test_command_stands_before_what_it_prints(name: str) -> None:
    page = README if name in sessions.shown_on(README) else USE
    before, mark, _ = (REPOSITORY / page).read_text().partition(f"<!-- session {name}: begin -->")
    typed = "".join(re.findall(r"^```bash\n(.*?)^```", before, flags=re.MULTILINE | re.DOTALL))
    assert SESSIONS[name] in re.sub(r" \\\n +", " ", typed)  # a long command is broken over lines
    assert mark


@pytest.mark.nightly
def test_commands_print_today_what_is_recorded(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for numbers, which differ from machine to machine."""
    for folder in ("manual", "data/sessions"):
        (workspace / folder).mkdir(parents=True)
    (workspace / "scripts").symlink_to(REPOSITORY / "scripts")
    monkeypatch.setattr(train, "DATA", workspace / "data")
    monkeypatch.setattr(sessions, "TIMES", {})
    train.run_sessions()
    assert {name: words_of(workspace / "data", name) for name in SESSIONS} == {
        name: words_of(DATA, name) for name in SESSIONS
    }


def words_of(data: Path, name: str) -> list[str]:
    """The lines of a session without their numbers, progress and rows of numbers alone."""
    _, printed = sessions.read(data, name, SESSIONS[name])
    lines = [re.sub(r"[<>]?\d[\d.,]*", "0", line) for line in printed.splitlines()]
    return [
        " ".join(line.split())
        for line in lines
        if re.search(r"[a-zA-Z]", line) and not line.startswith("epoch 0")
    ]
