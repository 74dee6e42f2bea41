"""README's sentence on what prevents MaxPool's collapse."""

import pytest

from lab.pages.operations import readme_sentence
from tests.made_up import CHANCE, result

RUNS = 40


@pytest.mark.parametrize(
    ("collapsed", "sentence"),
    [
        (
            {"centring": 0, "leaky-relu": 0, "smaller-weights": 18},
            "Any of these makes it 0 of 40 [0–9 %]: subtracting the mean only or LeakyReLU.",
        ),
        (
            {"warm-up": 0, "batch-norm": 4},
            "One change makes it 0 of 40 [0–9 %]: 100 steps of warm-up.",
        ),
        (
            {"warm-up": 0, "centring": 1},
            "Any of these makes it fewer: subtracting the mean only (1) or 100 steps of "
            "warm-up (0).",
        ),
        ({"smaller-weights": 18}, "No change was shown to lower that."),
    ],
)
def test_sentence_names_the_changes_that_significantly_fewer_runs_collapse_with(
    collapsed: dict[str, int], sentence: str
) -> None:
    counts = {"as-is": 9, **collapsed}
    runs = [
        result("maxpool", seed, CHANCE if seed < count else 0.97, (("config", f"{variant}.yaml"),))
        for variant, count in counts.items()
        for seed in range(RUNS)
    ]
    shown = readme_sentence(runs)
    assert shown.startswith(
        "Of 40 more MaxPool runs at the notebook's setting, 9 [12–38 %] [collapse within 300 "
        "steps](docs/lab/collapse.md). "
    )
    assert shown.endswith(sentence)
