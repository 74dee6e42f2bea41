"""One list of columns makes the tables of the terminal, of Markdown and of HTML, and
the plain numbers.
"""

import math

import pytest

from convblocks.figures.estimates import COUNT, PERCENT, POINTS, Estimate
from convblocks.figures.report import Report
from convblocks.figures.tables import Column, Table, to_console, to_markdown

COLUMNS = [
    Column(
        "network", lambda row: row["name"], key="network", text=lambda row: f"{row['name']}\n(best)"
    ),
    Column("parameters", lambda row: row["parameters"], COUNT, priority=1, key="parameters"),
    Column("ends", lambda row: (0.95, 0.97), PERCENT, priority=0, key="ends"),
    Column("minus\nmlp", lambda row: row["difference"], signed=True, key="minus"),
    Column("never measured", lambda row: None, optional=True, key="never"),
    Column("seconds", lambda row: math.nan),
]
ROWS = [
    {
        "name": "maxpool",
        "parameters": 85_526,
        "difference": Estimate(-0.01, -0.02, 0.0, 5, 0.03, POINTS),
    }
]
TABLE = Table("Results", COLUMNS, ROWS, ["A note."], key="results")


def test_table_has_the_same_cells_in_every_form() -> None:
    cells = ["maxpool (best)", "85,526", "95.00–97.00", "−1.00 [−2.00, +0.00]", "-"]
    assert f"| {' | '.join(cells)} |" in to_markdown([TABLE])
    assert "| network | parameters | ends | minus mlp | seconds |" in to_markdown([TABLE])
    assert TABLE.numbers() == [
        {
            "network": "maxpool",
            "parameters": 85_526,
            "ends": (0.95, 0.97),
            "minus": {"value": -0.01, "n": 5, "low": -0.02, "high": 0.0, "p": 0.03},
        }
    ]
    report = Report("r", [TABLE], [], {}, details=[Table("", ["a"], [["b"]])], numbers={"more": 1})
    assert report.plain_numbers() == {"results": TABLE.numbers(), "more": 1}


def test_columns_of_numbers_are_aligned_at_their_right(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("1", "5", "lr 1e-2", "", "-"), ("22", "79,510", "lr 1e-3", "+1.00", "< 0.001")]
    table = Table("", ["class", "n", "setting", "minus", "p"], rows)
    assert "| --- | ---: | --- | ---: | ---: |" in to_markdown([table], rule="---:")
    to_console([table])
    _, _, first, second, *_ = capsys.readouterr().out.splitlines()
    assert [line.split("lr")[0] for line in (first, second)] == [
        "1            5   ",
        "22      79,510   ",
    ]


@pytest.mark.parametrize(
    ("width", "dropped"),
    [(80, ""), (48, "ends"), (36, "ends, parameters"), (12, "ends, parameters")],
)
def test_table_on_a_narrow_terminal_drops_the_columns_of_the_lowest_priority(
    width: int, dropped: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    to_console([TABLE], "r.html")
    lines = " ".join(capsys.readouterr().out.split())
    assert (f"Hidden at this width: {dropped}. See r.html." in lines) == bool(dropped)
    assert ("85,526" in lines) == ("parameters" not in dropped)


def test_names_that_begin_alike_are_folded_and_not_cut_to_the_same_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "16")
    names = [("data.batch_size=16",), ("data.batch_size=32",)]
    to_console([Table("", ["setting"], names)])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[2:6] == ["data.batch_size=", "16", "data.batch_size=", "32"]
