"""The parts of a training step, and the functions by which a profiler tells them apart."""

from collections.abc import Sequence
from dataclasses import dataclass

# The network whose step is taken apart: of the others the arithmetic is nearly all.
TAKEN_APART = "mlp"

# Seconds between two looks at what a step is doing.
LOOKS_EVERY = 0.00025


@dataclass(frozen=True)
class Part:
    """Of a training step: the functions in which it is spent, with the ends of their files'
    paths, and what one gets for it.
    """

    name: str
    functions: tuple[str, ...]
    buys: str


# A step is in the first of them that has the innermost function.
PARTS = (
    Part(
        "batch",
        ("loops/fetchers.py:__next__", "training/ways.py:__iter__"),
        "fetched by index; fit also normalises it",
    ),
    Part(
        "forward",
        ("modules/module.py:_wrapped_call_impl", "nn/functional.py:cross_entropy"),
        "logits and loss",
    ),
    Part("backward", ("torch/_tensor.py:backward",), "gradients"),
    Part("Adam", ("optim/optimizer.py:wrapper", "optim/optimizer.py:zero_grad"), "the step"),
    Part(
        "metrics",
        ("torchmetrics/metric.py:wrapped_func",),
        "training loss and accuracy, exact at a resume",
    ),
    Part(
        "logs",
        (
            "core/module.py:log",
            "logger_connector.py:on_batch_start",
            "logger_connector.py:on_batch_end",
            "logger_connector.py:update_train_step_metrics",
            "run/metrics_log.py:on_train_batch_end",
        ),
        "curves in TensorBoard and metrics.csv; values for callbacks",
    ),
    Part(
        "signals",
        ("exact_resume/callback.py:on_train_batch_end",),
        "a preempted run saves after this step",
    ),
)
OTHER = Part("loop", (), "Lightning's loop: counters, hooks, when to stop")


def part_of(frames: Sequence[str]) -> str:
    """The name of the part in which a stack is, whose frames are pyinstrument's."""
    for frame in reversed(frames):
        function, path, *_ = frame.split("\0")
        for part in PARTS:
            if f"{path}:{function}".endswith(part.functions):
                return part.name
    return OTHER.name
