"""What a check says of what it has recorded."""

from typing import Any

import pytest

from convblocks.check.verdict import Report, report

BATCHES = range(3, 7)


def record(parts: dict[str, str], reason: str = "") -> dict[str, Any]:
    """A record in which each part, by kind and name, has these digests before the batches 4, 5, 6 and at the end."""
    names = [name.split("_", 1) for name in parts]
    states = [[[kind, name, parts[f"{kind}_{name}"][i]] for kind, name in names] for i in range(len(BATCHES))]
    return {"reason": reason, "states": list(zip(BATCHES, states, strict=True))}


SAME = "abcd"
NOTHING = [[record({}, reason="The run ends too early")]]


@pytest.mark.parametrize(
    ("whole", "resumed", "text"),
    [
        ({}, {}, ""),
        ({"batch_": SAME}, {"batch_": "bcde"}, "4 on in the batches: give the loader"),
        ({"weight_w": SAME}, {"weight_w": "abce"}, "7 on in w: keep what else the training accumulates"),
        (
            {"weight_w": SAME, "buffer_mean": SAME},
            {"weight_w": "abxy", "buffer_mean": "xbxy"},
            "6 on in w, since it does not restore the buffer mean: keep it in on_save_checkpoint",
        ),
        (
            {"logged_val/best": SAME, "attribute_best": SAME},
            {"logged_val/best": "abcx", "attribute_best": "xxxx"},
            "7 on in val/best, since it does not restore the attribute best: keep it in on_",
        ),
        ({"buffer_seen": SAME}, {"buffer_seen": "xbcd"}, ""),  # it is computed again before it is used
        ({"random_torch": SAME}, {"random_torch": "abcx"}, "7 on in the random numbers of torch: "),
    ],
)
def test_verdict_names_the_first_difference_of_results_with_what_was_lost(
    whole: dict[str, str], resumed: dict[str, str], text: str
) -> None:
    verdict = report({"within": [[record(whole), record(resumed)]]})
    assert verdict.is_exact == (not text)
    assert verdict.is_exact or f"not exact within the first epoch: a resume differs from batch {text}" in str(verdict)


def test_verdict_of_a_resume_without_a_checkpoint() -> None:
    begun = record({"weight_w": SAME})
    begun["states"][0] = (0, begun["states"][0][1])
    assert "begins again" in str(report({"within": [[record({"weight_w": SAME}), begun]]}))


def test_verdict_names_an_attribute_that_is_lost_without_effect() -> None:
    whole, resumed = (record({"attribute_count": digests}) for digests in ("abcd", "xxxx"))
    assert report({"within": NOTHING, "end": [[whole, resumed]]}) == Report(
        True,
        [
            "exact at the end of an epoch, on 3 batches",
            "not checked within the first epoch. The run ends too early.",
            "not restored, without effect on these batches: the attribute count",
        ],
    )


def test_verdict_is_not_exact_where_nothing_could_be_stopped() -> None:
    assert not report({"within": NOTHING, "end": NOTHING}).is_exact


def test_verdict_looks_at_every_process() -> None:
    good = [record({"weight_w": SAME})] * 2
    bad = [record({"weight_w": SAME}), record({"weight_w": "abcx"})]
    assert not report({"end": [good, bad], "within": [good, good]}).is_exact
