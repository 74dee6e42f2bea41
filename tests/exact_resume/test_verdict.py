"""What a check says of what it has recorded."""

from typing import Any

import pytest

from exact_resume.check.verdict import differences, report

BATCHES = range(3, 7)


def record(parts: dict[str, str], first: int = 3, reason: str = "") -> dict[str, Any]:
    """A record in which each part has these digests before the batches 4, 5, 6 and at the end."""
    states = [{name: digests[i] for name, digests in parts.items()} for i in range(len(BATCHES))]
    return {"reason": reason, "states": list(zip([first, *BATCHES[1:]], states, strict=True))}


def verdict(
    whole: dict[str, str], resumed: dict[str, str], first: int = 3
) -> tuple[bool, list[str]]:
    """On a training that could be stopped within the first epoch only."""
    places = {"within": [record(resumed, first)], "end": [], "later": []}
    return report([record(whole, reason="The run ends too early")], places)


SAME = "abcd"


@pytest.mark.parametrize(
    ("whole", "resumed", "text", "lost"),
    [
        ({}, {}, "", ""),
        ({"batch": SAME}, {"batch": "bcde"}, "batch 4 on in batch", ""),
        ({"weight w": SAME}, {"weight w": "abce"}, "batch 7 on in weight w", ""),
        (
            {"buffer m": SAME, "weight w": SAME},
            {"buffer m": "xbxy", "weight w": "abxy"},
            "6 on in weight w",
            "buffer m",
        ),
        (
            {"attribute a": SAME, "logged v": SAME},
            {"attribute a": "xxxx", "logged v": "abcx"},
            "7 on in l",
            "attribute a",
        ),
        # It is computed again before it is used.
        ({"buffer seen": SAME}, {"buffer seen": "xbcd"}, "", ""),
        ({"attribute count": SAME}, {"attribute count": "xxxx"}, "", "attribute count"),
        ({"random torch": SAME}, {"random torch": "abcx"}, "batch 7 on in random torch", ""),
    ],
)
def test_verdict_names_the_first_difference_of_results_and_what_was_lost(
    whole: dict[str, str], resumed: dict[str, str], text: str, lost: str
) -> None:
    is_exact, lines = verdict(whole, resumed)
    first, *_ = lines
    assert is_exact == (not text)
    assert first.startswith(
        "not exact within the first epoch: a resume" if text else "exact within the first epoch"
    )
    assert text in first
    assert (f"not restored: {lost}. Keep it in on_save_checkpoint" in lines[-1]) == bool(lost)
    assert "not checked at the end of an epoch: The run ends too early." in lines


def test_nothing_is_lost_that_differs_without_a_stop_too() -> None:
    whole, again, resumed = (
        [record({"attribute address": digests, "attribute count": SAME})]
        for digests in (SAME, "uvwx", "klmn")
    )
    places = {"within": resumed, "end": [], "later": []}
    is_exact, lines = report(whole, places, differences(whole, again))
    assert is_exact
    assert not any("not restored" in line for line in lines)


def test_verdict_of_a_resume_without_a_checkpoint() -> None:
    assert "begins again" in verdict({"weight w": SAME}, {"weight w": SAME}, first=0)[1][0]


def test_verdict_is_not_exact_where_nothing_could_be_stopped() -> None:
    nothing = record({}, reason="The run ends too early")
    is_exact, _ = report([nothing], {"within": [], "end": [], "later": []})
    assert not is_exact


def test_verdict_looks_at_every_process() -> None:
    good, bad = record({"weight w": SAME}), record({"weight w": "abcx"})
    is_exact, _ = report([good, good], {"within": [good, good], "end": [good, bad], "later": []})
    assert not is_exact


def test_verdict_of_a_resume_that_fails() -> None:
    _, lines = report([record({})], {"within": "KeyError: 3", "end": [], "later": []})
    assert lines[0] == "not exact within the first epoch: a resume fails: KeyError: 3"
