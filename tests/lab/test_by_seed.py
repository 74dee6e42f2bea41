"""Experiments that are trained seed by seed: their runs, and what an interruption leaves."""

import json
import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convblocks.compare.options import parse
from convblocks.compare.trials import Trial
from convblocks.errors import UsageError, UserError
from convblocks.record.directory import RunDirectory
from convblocks.record.provenance import describe_processor
from convblocks.record.result import RunResult
from lab import by_seed, train
from lab.blocks import BlockNetwork
from lab.pages.provenance import read_manifest
from lab.pages.writing import DATA
from lab.results import read_results, write_results
from tests.conftest import REPOSITORY
from tests.made_up import result


def trials(name: str) -> list[Trial]:
    return [
        trial for command in by_seed.COMMANDS[name] for trial in parse(shlex.split(command)).trials
    ]


def done(wanted: list[Trial]) -> dict[Trial, RunResult]:
    """A run of each trial, the better on held-out images the lower its rate."""
    found = {}
    for trial in wanted:
        validation = 1 - float(dict(trial.overrides)["lr"])
        run = result(trial.arch, trial.seed, 0.99, trial.overrides, validation=validation)
        here = of_processor(run, describe_processor())
        found[trial] = replace(here, overrides=trial.overrides)
    return found


@pytest.mark.parametrize(("name", "arms", "seeds"), [("cause", 26, 40), ("compute", 7, 3)])
def test_runs_are_those_of_the_protocol(name: str, arms: int, seeds: int) -> None:
    wanted = trials(name)
    assert len(set(wanted)) == len({trial.arm for trial in wanted}) * seeds == arms * seeds


@pytest.mark.parametrize(("name", "arms", "arms_of_20"), [("direction", 12, 4), ("remedy", 4, 10)])
def test_some_arms_have_half_of_the_seeds(name: str, arms: int, arms_of_20: int) -> None:
    wanted = trials(name)
    by_arm = Counter((trial.arm, trial.overrides) for trial in {*wanted})
    assert Counter(by_arm.values()) == {40: arms, 20: arms_of_20}
    few = {trial.seed for trial in wanted if by_arm[trial.arm, trial.overrides] == 20}
    assert few == {*sorted({trial.seed for trial in wanted})[:20]}


@pytest.mark.parametrize("name", ["direction", "remedy"])
def test_configs_of_arms_are_there(name: str) -> None:
    configs = {dict(trial.overrides)["config"] for trial in trials(name)}
    assert all((REPOSITORY / config).is_file() for config in configs)
    own = {path.name for path in (DATA / name).iterdir()}
    assert own == {Path(config).name for config in configs if Path(config).parent.name == name}


@pytest.mark.parametrize("name", ["cause", "direction", "remedy"])
def test_kept_runs_are_whole_seeds_of_the_protocol(name: str) -> None:
    wanted = trials(name)
    known = by_seed.recorded(DATA / f"{name}.jsonl")
    kept = {
        trial: known[by_seed.key_of(trial)] for trial in wanted if by_seed.key_of(trial) in known
    }
    assert len(by_seed.whole_seeds(wanted, kept)) == len(known)


def test_networks_of_equal_compute_have_the_arithmetic_of_maxpool() -> None:
    longer, wider, _ = (parse(shlex.split(command)) for command in by_seed.COMMANDS["compute"])
    options = dict(wider.common)
    channels = json.loads(options.pop("network.channels"))
    levels = {
        name.partition(".")[2]: level
        for name, level in options.items()
        if name.startswith("network.")
    }
    network = BlockNetwork(**levels, channels=channels)
    maxpool, course = BlockNetwork(), BlockNetwork("stride", "batch", "average")
    wanted = 5 * multiply_adds(maxpool)
    epochs = int(dict(longer.common)["epochs"])
    assert 5 * multiply_adds(network) == pytest.approx(wanted, rel=0.01)
    assert epochs * multiply_adds(course) == pytest.approx(wanted, rel=0.02)


def multiply_adds(network: nn.Module) -> int:
    """Those of an image in convolutions and linear layers."""
    found: list[int] = []

    def count(layer: Any, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        found.append(layer.weight[0].numel() * outputs[0].numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    network.eval()(torch.zeros(1, 1, 28, 28))
    return sum(found)


def test_what_is_done_are_the_seeds_of_which_all_arms_are() -> None:
    wanted = trials("cause")
    late = [trial for trial in wanted if trial.seed > 6001]
    results = done([trial for trial in wanted if trial not in late])
    results |= done(late[:1])
    kept = by_seed.whole_seeds(wanted, results)
    assert {trial.seed for trial in kept} == {6000, 6001}
    assert len(kept) == 2 * len(by_seed.ARMS) * 2


def test_seeds_that_are_on_record_are_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = trials("compute")
    choosing = done(wanted)
    write_results(tmp_path / "compute.jsonl", list(choosing.values()))
    asked: list[Trial] = []

    def train_trials(_: object, new: list[Trial], *__: object) -> dict[Trial, RunResult]:
        asked.extend(new)
        return done(new)

    monkeypatch.setattr(by_seed, "train", train_trials)
    found = by_seed.new_runs("compute", tmp_path)
    assert list(found) == asked
    assert {dict(trial.overrides)["lr"] for trial in asked} == {"3e-3"}
    assert [trial.seed for trial in asked] == sorted([*range(7003, 7015)] * 2)
    write_results(tmp_path / "compute.jsonl", [*choosing.values(), *found.values()])
    asked.clear()
    assert not by_seed.new_runs("compute", tmp_path)
    assert not asked


def test_runs_of_another_kind_of_processor_are_not_continued(tmp_path: Path) -> None:
    (run, *_) = done(trials("cause")[:1]).values()
    older = of_processor(run, None)
    write_results(tmp_path / "cause.jsonl", [older])
    with pytest.raises(UserError, match=r"another kind of processor \(None\), and this is "):
        by_seed.new_runs("cause", tmp_path)


def test_seeds_may_be_of_different_processors_where_arms_are_compared_within_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = trials("direction")
    whole = done([trial for trial in wanted if trial.seed == 6000])
    elsewhere = [of_processor(run, "family 1") for run in whole.values()]
    write_results(tmp_path / "direction.jsonl", elsewhere)
    monkeypatch.setattr(by_seed, "train", lambda _, new, *__: done(new))
    found = by_seed.new_runs("direction", tmp_path)
    assert {trial.seed for trial in found} == {*range(6001, 6040)}


def test_runs_of_one_seed_are_of_one_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train_trials(_: object, new: list[Trial], *__: object) -> dict[Trial, RunResult]:
        found = done(new)
        return found | {new[0]: of_processor(found[new[0]], "family 1")}

    monkeypatch.setattr(by_seed, "train", train_trials)
    with pytest.raises(UserError, match=r"seed 6000 are of different kinds .*family 1; .*delete"):
        by_seed.new_runs("direction", tmp_path)


def of_processor(run: RunResult, processor: str | None) -> RunResult:
    return replace(run, provenance=replace(run.provenance, processor=processor))


def test_runs_are_kept_behind_those_on_record(workspace: Path) -> None:
    """And their origins: one for each commit."""
    for seed, commit in ((6000, "abc1234"), (6001, "abc1235")):
        directory = RunDirectory(f"seed_{seed}")
        directory.create()
        directory.provenance.write_text(json.dumps({"command": "fit", "git_commit": commit}))
        run = (result("maxpool", seed, 0.9), directory)
        train.keep(workspace, "cause", [run])
    assert [run.seed for run in read_results(workspace / "cause.jsonl")] == [6000, 6001]
    origins = read_manifest(workspace, "cause")
    assert [(one["runs"], one["git_commit"]) for one in origins] == [(1, "abc1234"), (1, "abc1235")]


def test_only_whole_seeds_can_be_kept_without_training() -> None:
    with pytest.raises(UsageError, match="of cause, direction, remedy and compute, not why"):
        train.main(["--no-fit", "why"])
