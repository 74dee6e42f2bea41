"""What README.md and docs/manual/use.md show of commands is what these have printed."""

import re

import pytest

from lab.pages import sessions
from lab.pages.sessions import README, SESSIONS, USE
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("name", SESSIONS)
def test_command_stands_before_what_it_prints(name: str) -> None:
    page = README if name in sessions.shown_on(README) else USE
    before, mark, _ = (REPOSITORY / page).read_text().partition(f"<!-- session {name}: begin -->")
    typed = "".join(re.findall(r"^```bash\n(.*?)^```", before, flags=re.MULTILINE | re.DOTALL))
    assert SESSIONS[name] in re.sub(r" \\\n +", " ", typed)  # a long command is broken over lines
    assert mark
