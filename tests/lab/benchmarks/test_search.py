"""The benchmark of searches compares them at equal cost."""

from collections.abc import Mapping

from lab.benchmarks.rows import Labels, Results, Row
from lab.benchmarks.search.page import Course, answer_text, reached, reached_table, steps

TPE: Course = [(10, 0.9), (2, None), (10, 0.95), (10, 0.93)]
RANDOM: Course = [(10, 0.8), (10, 0.97), (10, 0.96), (10, 0.99)]


def results_of(*repeats: Mapping[str, Course]) -> Results:
    made = Results("a machine", "abc1234", ["--repeats", "1"], 3, {"arch": "maxpool", "epochs": 3})
    for repeat, searches in enumerate(repeats):
        for search, trials in searches.items():
            labels: Labels = {"part": "trial", "search": search}
            for seconds, accuracy in trials:
                values = {"seconds": seconds} | ({} if accuracy is None else {"accuracy": accuracy})
                made.rows.append(Row(labels, values, repeat))
    return made


RESULTS = results_of({"tpe": TPE, "random": RANDOM})


def test_searches_are_compared_at_what_the_cheaper_one_took() -> None:
    """32 seconds; a best accuracy is known once its trial has ended."""
    assert steps(TPE) == [(10, 0.9), (22, 0.95)]
    assert reached(RESULTS, "random", 1.0) == [0.97]
    assert reached(RESULTS, "tpe", 0.25) is None
    assert [row[-1] for row in reached_table(RESULTS).rows] == ["95.00 [95.00, 95.00]", "97.00 [97.00, 97.00]"]


def test_searches_are_told_apart_by_an_interval_over_the_repeats() -> None:
    better = [[(10.0, 0.98 + number / 1000)] for number in range(3)]
    worse = [(10.0, 0.97), (10.0, 0.99)]
    answer = answer_text(results_of(*({"tpe": trials, "random": worse} for trials in better)))
    assert answer.startswith(
        "At equal cost TPE with the median pruner reached higher validation scores than random search. "
    )
    assert "+1.10 points [+0.85, +1.35]" in answer
    swapped = answer_text(results_of(*({"tpe": worse, "random": trials} for trials in better)))
    assert "random search reached higher validation scores than TPE" in swapped
    assert "is not decided" in answer_text(RESULTS)  # of one repeat
