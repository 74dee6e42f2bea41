"""When a run has collapsed: on evidence that it cannot recover, not for one poor accuracy."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, takewhile
from typing import NamedTuple

from torch import Tensor
from torch.distributions import Categorical

from convblocks.run.directory import has_dead_layer
from convblocks.run.result import RunResult

# A network has learned something if it gets at least this share of the way from a constant answer to no mistakes.
LEAST_LEARNED = 0.04

# Sooner a network that is not above chance may just be slow: in steps, and in steps for each class.
FEWEST_STEPS, STEPS_PER_CLASS = 200, 20

# A loss that falls in so many epochs in a row, by this share in all, is no chance: such a network learns slowly.
EPOCHS_OF_FALL, LEAST_FALL = 5, 0.005


class ConstantAnswer(NamedTuple):
    """What a network gets on the training images that answers all of them with the shares of their classes.

    ``accuracy`` is the one above which a network has learned something; ``loss`` is the cross-entropy, which is the
    entropy of the shares, None if the run has another loss.
    """

    accuracy: float
    loss: float | None


def chance_accuracy(labels: Tensor) -> float:
    """The accuracy on images of these classes (N,) above which a network has learned something: 0.149 on MNIST."""
    most_frequent = float(labels.bincount().max() / len(labels))
    return most_frequent + LEAST_LEARNED * (1 - most_frequent)


def constant_answer_to(labels: Tensor, is_cross_entropy: bool) -> ConstantAnswer:
    """The best constant answer to images of these classes (N,)."""
    entropy = float(Categorical(labels.bincount() / len(labels)).entropy())
    return ConstantAnswer(chance_accuracy(labels), entropy if is_cross_entropy else None)


def has_collapsed(
    epochs: Sequence[Mapping[str, float]],
    final: Mapping[str, float],
    chance_threshold: float,
    constant: ConstantAnswer | None,
    classes: int,
) -> bool:
    """Whether a run has learned nothing, and cannot recover.

    Its accuracy on test images is at chance, and either a whole layer is dead, so that nothing before it can learn; or
    after enough steps it is no better on training images, and its loss is neither below that of a constant answer nor
    falling. While training images are learned, averages of batch normalisation that lag behind, or overfitting, may
    hide it from other images.

    Args:
        epochs: The metrics of each: ``step``, ``train/loss`` and ``train/acc``.
        final: ``test/acc`` and the shares of dead units.
        chance_threshold: See ``chance_accuracy``, of the test images.
        constant: The best constant answer to the training images, if it is known.
        classes: How many there are.
    """
    if final["test/acc"] > chance_threshold:
        return False
    if has_dead_layer(final):
        return True
    last, limit = epochs[-1], constant or ConstantAnswer(chance_threshold, None)
    if not has_enough_steps(last["step"], classes) or last.get("train/acc", 1.0) > limit.accuracy:
        return False
    return not (last["train/loss"] < (limit.loss or 0) or is_falling([row["train/loss"] for row in epochs]))


def collapsed_in(result: RunResult, chance_threshold: float) -> int:
    """From which epoch on no evaluation of a failed run was above chance; its last one if none shows it."""
    rows = sorted((*result.epochs, *result.evaluations), key=lambda row: row["step"])
    evaluated = [(row["epoch"], row.get("val/acc", row.get("test/acc"))) for row in rows]
    measured = [(int(epoch), accuracy) for epoch, accuracy in evaluated if accuracy is not None]
    since = list(takewhile(lambda row: not row[1] > chance_threshold, reversed(measured)))
    return since[-1][0] if since else len(result.epochs)


def has_enough_steps(step: float, classes: int) -> bool:
    """Whether a network that learns would be above chance by then."""
    return step >= max(FEWEST_STEPS, STEPS_PER_CLASS * classes)


def is_falling(losses: Sequence[float]) -> bool:
    """Whether the loss fell in each of the last epochs, and by more than chance."""
    last = losses[-EPOCHS_OF_FALL - 1 :]
    falls = all(one > other for one, other in pairwise(last))
    return len(last) > EPOCHS_OF_FALL and falls and last[-1] < (1 - LEAST_FALL) * last[0]
