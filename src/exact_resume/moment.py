"""When a checkpoint is written, which decides what belongs in it."""

from enum import Enum


class Moment(Enum):
    """A moment of training."""

    WITHIN_EPOCH = "after a batch"
    IN_EVALUATION = "in an evaluation within an epoch, or right after it"
    EPOCH_END = "at the end of an epoch"
