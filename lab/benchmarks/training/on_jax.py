"""The bare loop in JAX: the same layers and optimizer, all steps of a turn compiled
into one scan.
"""

import math
import os
import sys
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import torch
from jax.example_libraries import optimizers, stax

from convblocks.data.images import MNIST
from lab.benchmarks.training.ways import LEARNING_RATE, SEED, BareLoop, Case, Stopwatch

CLASSES = len(MNIST.classes)


def maxpool_block(channels: int) -> tuple[Any, ...]:
    return stax.Conv(channels, (3, 3), padding="SAME"), stax.Relu, stax.MaxPool((2, 2), (2, 2))


def batchnorm_block(channels: int) -> tuple[Any, ...]:
    return stax.Conv(channels, (3, 3), (2, 2), padding="SAME"), stax.Relu, stax.BatchNorm()


def of_blocks(block: Any, *head: Any) -> tuple[Any, ...]:
    return *block(32), *block(64), *block(100), *head, stax.Flatten, stax.Dense(CLASSES)


LAYERS = {
    "mlp": (stax.Flatten, stax.Dense(100), stax.Relu, stax.Dense(CLASSES)),
    "maxpool": of_blocks(maxpool_block),
    "batchnorm": of_blocks(batchnorm_block, stax.AvgPool((4, 4))),
}


def train(case: Case, stopwatch: Stopwatch) -> None:
    """Train on the same images; nothing is evaluated."""
    # XLA has no option for its threads, but takes no more than it has cores.
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: torch.get_num_threads()])
    images, targets = zip(*islice(BareLoop(case).train_loader, case.steps), strict=True)
    batches = (
        jnp.asarray(torch.stack(images).movedim(2, -1).numpy()),
        jnp.asarray(torch.stack(targets).numpy()),
    )
    initialise, apply = stax.serial(*LAYERS[case.arch])
    _, weights = initialise(jax.random.key(SEED), batches[0].shape[1:])
    begin, update, weights_of = optimizers.adam(LEARNING_RATE)

    def loss(weights: Any, images: jax.Array, targets: jax.Array) -> jax.Array:
        log_probabilities = jax.nn.log_softmax(apply(weights, images))
        return -jnp.take_along_axis(log_probabilities, targets[:, None], axis=1).mean()

    def step(
        state: tuple[Any, Any], batch: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[Any, Any], jax.Array]:
        number, trained = state
        measured, gradients = jax.value_and_grad(loss)(weights_of(trained), *batch)
        return (number + 1, update(number, gradients, trained)), measured

    state = 0, begin(weights)
    scan = jax.jit(lambda state, batches: jax.lax.scan(step, state, batches))
    while True:
        stopwatch.on_train_epoch_start()
        state, losses = scan(state, batches)
        if not math.isfinite(losses[-1].item()):
            raise ArithmeticError(f"{case.arch} diverges in JAX")
        stopwatch.on_validation_start()
