"""When a run has collapsed: on evidence that it cannot recover, not for one poor accuracy."""

from itertools import pairwise

from torch import Tensor
from torch.distributions import Categorical

from convblocks.model.names import RECORDS
from convblocks.record.directory import DEAD
from convblocks.record.result import Row, RunResult

# A network has learned something if it gets at least this share of the way from a
# constant predictor to no mistakes.
LEAST_LEARNED = 0.04

# Sooner a network that is not above chance may just be slow: in steps, and in steps for each class.
FEWEST_STEPS, STEPS_PER_CLASS = 200, 20

# A loss that fell in each of the last epochs, by this share in all, is still falling:
# such a network learns slowly.
EPOCHS_OF_FALL, LEAST_FALL = 5, 0.005


def dead_units_in(result: RunResult) -> Row:
    """The shares of dead units at the end of a run, by what people call the layers:
    ``block 2`` of registered networks, of others ``relu2``, as in the metrics.
    """
    shares = {}
    for metric, share in result.final.items():
        if metric.startswith(DEAD):
            shares[layer_name(metric, result.arch)] = share
    return shares


def layer_name(metric: str, arch: str) -> str:
    """The name of the layer whose dead units a metric measures, for people."""
    relu = metric.removeprefix(DEAD)
    return relu.replace("relu", f"{RECORDS[arch].layer} ") if arch in RECORDS else relu


def chance_accuracy(labels: Tensor) -> float:
    """The accuracy on images of these classes (N,) above which a network has learned
    something: 0.149 on MNIST.
    """
    most_frequent = float(labels.bincount().max() / len(labels))
    return most_frequent + LEAST_LEARNED * (1 - most_frequent)


def has_collapsed(result: RunResult, labels: Tensor) -> bool:
    """True for a run that has learned nothing, and cannot recover.

    Its accuracy on test images is at chance, and either a whole layer is dead, so that
    nothing before it can learn; or after enough steps it is no better on training
    images, and its loss is neither below that of a constant predictor nor falling.
    While training images are learned, averages of batch normalisation that lag behind,
    or overfitting, may hide it from other images.

    Args:
        result: The result of the run, with the facts ``images`` and ``chance``.
        labels: The classes of the training images (N,).
    """
    if result.final["test/acc"] > result.facts["chance"]:
        return False
    if 1 in dead_units_in(result).values():
        return True
    last = result.epochs[-1]
    learns_training_images = last.get("train/acc", 1.0) > chance_accuracy(labels)
    if learns_training_images or not has_enough_steps(result, last["step"]):
        return False
    is_cross_entropy = result.hparams.get("loss") == "cross_entropy"
    # The loss of a constant predictor that outputs the frequencies of the classes.
    constant = float(Categorical(labels.bincount()).entropy())
    is_below = is_cross_entropy and last["train/loss"] < constant
    return not is_below and not is_falling(result)


def collapsed_in(result: RunResult) -> int:
    """The epoch from which on no evaluation of a failed run was above chance; the last epoch if
    no evaluation shows it.
    """
    since = len(result.epochs)
    for row in reversed(result.epochs):
        accuracy = row.get("val/acc", row.get("test/acc"))
        if accuracy is None:
            continue
        if accuracy > result.facts["chance"]:
            break
        since = int(row["epoch"])
    return since


def has_enough_steps(result: RunResult, step: float) -> bool:
    """True if a network that learns would be above chance by this step."""
    classes = result.facts["images"]["spec"]["classes"]
    return step >= max(FEWEST_STEPS, STEPS_PER_CLASS * len(classes))


def is_falling(result: RunResult) -> bool:
    """True if the training loss fell in each of the last epochs, and by more than chance."""
    losses = [row["train/loss"] for row in result.epochs[-EPOCHS_OF_FALL - 1 :]]
    falls = all(before > after for before, after in pairwise(losses))
    return falls and len(losses) > EPOCHS_OF_FALL and losses[-1] < (1 - LEAST_FALL) * losses[0]
