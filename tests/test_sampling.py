"""Every index once an epoch, in an order that (seed, epoch) alone determine, shared fairly between processes."""

import torch
from convblocks.sampling import BatchSampler
from hypothesis import given
from hypothesis import strategies as st

sizes = st.integers(min_value=1, max_value=500)
batch_sizes = st.integers(min_value=1, max_value=100)
replicas = st.integers(min_value=1, max_value=5)
seeds = st.integers(min_value=0, max_value=2**32 - 1)
epochs = st.integers(min_value=0, max_value=1000)


def batches(size: int, batch_size: int, seed: int, epoch: int, num_replicas: int = 1, rank: int = 0) -> list[list[int]]:
    sampler = BatchSampler(size, batch_size, shuffle=True, seed=seed, num_replicas=num_replicas, rank=rank)
    sampler.set_epoch(epoch)
    return [batch.tolist() for batch in sampler]


@given(sizes, batch_sizes, seeds, epochs)
def test_every_index_is_yielded_once(size: int, batch_size: int, seed: int, epoch: int) -> None:
    assert sorted(index for batch in batches(size, batch_size, seed, epoch) for index in batch) == list(range(size))


@given(sizes, batch_sizes, seeds, epochs)
def test_only_the_last_batch_is_short(size: int, batch_size: int, seed: int, epoch: int) -> None:
    *full, last = batches(size, batch_size, seed, epoch)
    assert all(len(batch) == batch_size for batch in full)
    assert 1 <= len(last) <= batch_size
    assert len(full) + 1 == len(BatchSampler(size, batch_size, shuffle=True))


@given(sizes, batch_sizes, seeds, epochs, replicas)
def test_shares_put_together_are_the_global_batch(
    size: int, batch_size: int, seed: int, epoch: int, num_replicas: int
) -> None:
    shares = [batches(size, batch_size, seed, epoch, num_replicas, rank) for rank in range(num_replicas)]
    together = [[index for part in parts for index in part] for parts in zip(*shares, strict=True)]
    assert together == batches(size, batch_size, seed, epoch)


@given(sizes, batch_sizes, replicas)
def test_shares_differ_by_at_most_one(size: int, batch_size: int, num_replicas: int) -> None:
    shares = [batches(size, batch_size, 0, 0, num_replicas, rank) for rank in range(num_replicas)]
    for parts in zip(*shares, strict=True):
        lengths = [len(part) for part in parts]
        assert max(lengths) - min(lengths) <= 1


def test_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    orders = {(seed, epoch): batches(1000, 64, seed, epoch) for seed in range(4) for epoch in range(4)}
    assert len({str(order) for order in orders.values()}) == len(orders)
    torch.manual_seed(7)
    assert batches(1000, 64, 2, 3) == orders[2, 3]


def test_order_is_drawn_when_the_first_batch_is_asked_for() -> None:
    sampler = BatchSampler(100, 10, shuffle=True)
    iterator = iter(sampler)
    sampler.set_epoch(3)
    assert [batch.tolist() for batch in iterator] == batches(100, 10, 0, 3)


def test_evaluation_keeps_the_order_of_the_files() -> None:
    assert torch.cat(list(BatchSampler(25, 10, shuffle=False))).tolist() == list(range(25))
