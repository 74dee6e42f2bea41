"""Four tasks, as command lines of fit."""

import pytest

HERE = "tests.any_task"
# The options of each task, the steps of an epoch, and the score that three epochs reach at least, or at most.
TASKS = {
    "regression": ("Curve", "Points", "val/rmse:min", 16, 0.4),
    "labels": ("Tagger", "Tags", "val/MultilabelF1Score:max", 20, 0.8),
    "shapes": ("Segmenter", "Shapes", "val/iou:max", 20, 0.7),
    "characters": ("Characters", "Text", "val/bits:min", 20, 1.0),
}
# Two of them without -m slow: one with torch's own loader, one with one that keeps its position.
QUICK = [task if task in ("regression", "shapes") else pytest.param(task, marks=pytest.mark.slow) for task in TASKS]


def options_of(task: str, epochs: int = 3) -> list[str]:
    model, data, judge, _, _ = TASKS[task]
    model, data = (f"{HERE}.{task}.{name}" for name in (model, data))
    return ["--model", model, "--data", data, "--judge", judge, "--epochs", str(epochs)]
