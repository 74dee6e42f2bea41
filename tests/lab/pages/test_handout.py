"""The lesson's handout as it is printed."""

import re
from hashlib import md5

from lab.pages.screenshots import HANDOUT

PRINTED = HANDOUT.with_suffix(".pdf").read_bytes()


def test_handout_is_one_page_of_a4() -> None:
    assert len(re.findall(rb"/Type /Page\b", PRINTED)) == 1
    (size,) = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", PRINTED)
    millimetres = [round(float(points) / 72 * 25.4) for points in size]
    assert millimetres == [210, 297]


def test_handout_was_printed_from_the_current_text() -> None:
    """Otherwise: python -m lab.pages.screenshots handout."""
    assert PRINTED.endswith(f"% handout.md: {md5(HANDOUT.read_bytes()).hexdigest()}\n".encode())


def test_no_cell_of_the_handout_wants_two_answers() -> None:
    rows = re.findall(r"^\|.*?\| (.*?) \| \| \|$", HANDOUT.read_text(), re.MULTILINE)
    assert len(rows) >= 13
    assert [row for row in rows if re.search(r", .* and ", row)] == []
