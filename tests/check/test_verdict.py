"""What a check says of what it has recorded."""

from typing import Any

import pytest

from convblocks.check.verdict import Report, report

BATCHES = range(3, 7)


def record(parts: dict[str, list[str]], idle: list[str] | None = None, reason: str = "") -> dict[str, Any]:
    """A record in which each part, by kind and name, has these digests before the batches 4, 5, 6 and at the end."""
    names = [name.split("_", 1) for name in parts]
    states = [[[kind, name, parts[f"{kind}_{name}"][i]] for kind, name in names] for i in range(len(BATCHES))]
    return {"idle": idle or [], "reason": reason, "states": list(zip(BATCHES, states, strict=True))}


SAME = list("abcd")


@pytest.mark.parametrize(
    ("whole", "resumed", "text"),
    [
        ({}, {}, ""),
        ({"batch_": SAME}, {"batch_": list("bcde")}, "4 on in the batches: give the loader"),
        ({"weight_w": SAME}, {"weight_w": list("abce")}, "7 on in w: whatever else"),
        (
            {"weight_w": SAME, "buffer_mean": SAME},
            {"weight_w": list("abxy"), "buffer_mean": list("xbxy")},
            "6 on in w, since it does not restore the buffer mean: register it as persistent",
        ),
        (
            {"logged_val/best": SAME, "attribute_best": SAME},
            {"logged_val/best": list("abcx"), "attribute_best": list("xxxx")},
            "7 on in val/best, since it does not restore the attribute best: keep it in on_",
        ),
        ({"buffer_seen": SAME}, {"buffer_seen": list("xbcd")}, ""),  # it is computed anew before it is used
        ({"random_torch": SAME}, {"random_torch": list("abcx")}, "7 on in the random numbers of torch: "),
    ],
)
def test_the_first_difference_of_results_is_named_with_what_was_lost(
    whole: dict[str, list[str]], resumed: dict[str, list[str]], text: str
) -> None:
    found = report({"within": [[record(whole), record(resumed), record(resumed)]]})
    assert found.is_exact == (not text)
    assert found.is_exact or f"not exact within the first epoch: a resume differs from batch {text}" in str(found)


def test_two_resumes_that_differ_are_not_the_checkpoints_fault() -> None:
    one, other = record({"weight_w": SAME}), record({"weight_w": list("axyz")})
    found = report({"within": [[record({"weight_w": SAME}), one, other]]})
    assert not found.is_exact
    assert "two resumes differ from each other, from batch 5 on in w: the training is not determ" in str(found)


def test_a_resume_that_begins_anew_has_found_no_checkpoint() -> None:
    states = record({"weight_w": SAME})
    states["states"] = [(number - 3, state) for number, state in states["states"]]
    found = report({"end": [[states] * 3], "within": [[states]]})
    assert "not exact at the end of an epoch: a resume finds no checkpoint" in str(found)


def test_an_exact_run_says_how_far_and_what_had_not_begun() -> None:
    records = [record({"weight_w": SAME}, idle=["Averaging"])] * 3
    assert str(report({"within": [records], "end": [records]})) == (
        "exact within the first epoch and at the end of an epoch: 6 batches of 2 epochs; Averaging had not begun"
    )


def test_what_began_in_the_second_epoch_had_begun() -> None:
    first, two = [record({"weight_w": SAME}, idle=["Averaging"])] * 3, [record({"weight_w": SAME})] * 3
    assert "had not begun" not in str(report({"within": [first], "end": [two], "later": [two]}))


def test_an_attribute_that_is_lost_without_effect_is_named() -> None:
    whole, resumed, other = (record({"attribute_count": list(digests)}) for digests in ("abcd", "xxxx", "xxxy"))
    assert "not restored, without effect on these batches: the attribute count" in str(
        report({"end": [[whole, resumed, resumed]], "within": [[record({}, reason="no state_dict")]]})
    )
    assert "count" not in str(report({"within": [[whole, resumed, other]]}))  # a clock


def test_what_cannot_be_stopped_is_not_exact() -> None:
    nothing = [[record({}, reason="The run ends too early")]]
    assert report({"within": nothing, "end": nothing}) == Report(
        False,
        [
            "not checked within the first epoch. The run ends too early.",
            "not checked at the end of an epoch. The run ends too early.",
        ],
    )


def test_every_process_is_looked_at() -> None:
    good, bad = (
        [record({"weight_w": SAME})] * 3,
        [record({"weight_w": SAME}), *[record({"weight_w": list("abcx")})] * 2],
    )
    assert not report({"end": [good, bad], "within": [good, good]}).is_exact
