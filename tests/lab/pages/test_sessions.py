"""What README.md and docs/manual/use.md show of commands is what these have printed."""

import re

import pytest

from lab.pages import sessions
from lab.pages.sessions import README, SESSIONS, USE
from tests.conftest import REPOSITORY


def commands_in(text: str) -> str:
    """What a page asks the reader to type, with broken lines joined."""
    blocks: list[str] = re.findall(r"^```bash\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r" \\\n +", " ", "".join(blocks))


@pytest.mark.parametrize("name", SESSIONS)
def test_command_stands_before_what_it_prints(name: str) -> None:
    page = README if name in sessions.shown_on(README) else USE
    before, mark, _ = (REPOSITORY / page).read_text().partition(f"<!-- session {name}: begin -->")
    assert SESSIONS[name] in commands_in(before)
    assert mark
