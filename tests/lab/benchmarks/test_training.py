"""The benchmark of training measures the same arithmetic in all ways, and all parts of a step."""

from itertools import islice
from pathlib import Path

import pytest
import torch

from lab.benchmarks.harness import in_turns
from lab.benchmarks.training import measure
from lab.benchmarks.training.measure import parts_of_steps, whole_command
from lab.benchmarks.training.parts import OTHER, PARTS
from lab.benchmarks.training.ways import BareLoop, Case, fit_command


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arch", "steps"), [("batchnorm", 50), pytest.param("mlp", None, marks=pytest.mark.nightly)]
)
def test_fit_ends_with_the_weights_of_the_bare_loop(
    workspace: Path, arch: str, steps: int | None
) -> None:
    """Bit for bit; the whole epoch for the MLP."""
    loop = BareLoop(Case("bare", arch))
    loop.train(islice(loop.train_loader, steps))
    run = fit_command(Case("fit", arch, steps=steps), "run")
    weights = torch.load(run.last_checkpoint, weights_only=True)["state_dict"]
    for name, value in loop.network.state_dict().items():
        assert torch.equal(weights[f"network.{name}"], value), name


@pytest.mark.slow
def test_parts_of_a_step_are_all_of_it() -> None:
    """Each part is seen except the signals, which fit looks at only now and then;
    forward and backward are most.
    """
    with in_turns(1, parts_of_steps, Case("fit", "mlp", steps=400)) as take_turn:
        take_turn()
        rows = {str(row.labels["of"]): row.values["seconds"] for row in take_turn()}
    assert list(rows) == [part.name for part in (*PARTS, OTHER)]
    assert rows["forward"] + rows["backward"] > 0.3 * sum(rows.values())
    assert [name for name, seconds in rows.items() if seconds == 0 and name != "signals"] == []


@pytest.mark.slow
def test_parts_of_a_command_are_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """From Enter to its end; most of a short one is its start."""
    monkeypatch.setattr(measure, "THREADS", 1)
    (row,) = whole_command("mlp", "true")
    *parts, whole = row.values.values()
    assert [*row.values] == ["start", "data", "training", "evaluation", "results", "seconds"]
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(whole)
