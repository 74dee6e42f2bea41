"""Two tasks, as command lines of fit."""

HERE = "tests.any_task"
# One with torch's own loader, one with a loader that keeps its position: the options of
# each task, the steps of an epoch, and the score that three epochs reach at least, or at
# most.
TASKS = {
    "regression": ("Curve", "Points", "val/rmse:min", 16, 0.4),
    "shapes": ("Segmenter", "Shapes", "val/iou:max", 20, 0.7),
}


def options_of(task: str, epochs: int = 3) -> list[str]:
    model, data, judge, _, _ = TASKS[task]
    model, data = (f"{HERE}.{task}.{name}" for name in (model, data))
    return ["--model", model, "--data", data, "--judge", judge, "--epochs", str(epochs)]
