"""Lightning's finders, pruning and averages of weights work in a run, and stay exact."""

from pathlib import Path

import pytest
import torch

from convblocks.data.images import MNIST, ImageSets
from convblocks.model.restore import Evaluation, load_network
from convblocks.record.directory import RunDirectory
from convblocks.run import fit
from tests.conftest import DEBUG
from tests.core.run.test_callbacks import added, resume, with_callback
from tests.core.run.test_fit import QUICK, metric_rows, quick_run, weights
from tests.core.run.test_resume import fit_until


@pytest.mark.slow
def test_pruning_leaves_a_network_that_loads(workspace: Path) -> None:
    run = quick_run(
        "--arch", "batchnorm", *added("ModelPruning", pruning_fn="l1_unstructured", amount=0.2)
    )
    assert run.result_after(2)
    assert load_network(run.last_checkpoint).arch == "batchnorm"


def logged_accuracy(run: RunDirectory) -> float:
    return float(metric_rows(run)[-1]["test/acc"])


def accuracy_of_checkpoint(run: RunDirectory, digits: ImageSets) -> float:
    """The accuracy of the kept weights on the images of the run's evaluations: two
    batches of 1,000.
    """
    test = digits.test[torch.arange(2000)]
    return Evaluation(
        load_network(run.last_checkpoint).logits(test.images), test.labels, MNIST.classes
    ).accuracy


def test_average_is_evaluated_and_kept(workspace: Path, digits: ImageSets) -> None:
    short = ["--epochs", "1", "--trainer.limit_train_batches", "10"]
    plain = quick_run(*short, name="plain")
    run = quick_run(*short, *with_callback("EMAWeightAveraging", decay=0.9))
    assert logged_accuracy(run) == pytest.approx(accuracy_of_checkpoint(run, digits))
    assert logged_accuracy(run) != logged_accuracy(plain)


@pytest.mark.slow
@pytest.mark.parametrize("start", [25, 1000], ids=["late", "never"])
def test_average_is_the_weights_before_its_start(workspace: Path, start: int) -> None:
    """It starts in the second of two epochs, or not at all; the run is stopped in the first."""
    plain = ["--arch", "batchnorm"]
    late = [*plain, *with_callback("EMAWeightAveraging", update_starting_at_step=start)]
    for name, flags in (("plain", plain), ("run", late)):
        fit_until(12, [*DEBUG, *QUICK, *flags, "--name", name])
    kept, expected = weights(RunDirectory("run")), weights(RunDirectory("plain"))
    assert all(
        torch.equal(value, kept[name])
        for name, value in expected.items()
        if name.startswith("network.")
    )
    for name in ("plain", "run"):
        fit.main(["--name", name, "--resume"])
    averaged, whole = RunDirectory("run"), RunDirectory("plain")
    rows, expected_rows = metric_rows(averaged), metric_rows(whole)
    assert rows[0] == expected_rows[0]
    mistakes = [run.read_result().facts["mistakes"] for run in (averaged, whole)]
    assert (rows[1] == expected_rows[1]) == (mistakes[0] == mistakes[1]) == (start == 1000)


def test_average_of_the_very_end_is_tested_and_kept(workspace: Path, digits: ImageSets) -> None:
    """StochasticWeightAveraging puts its average in place after the last checkpoint."""
    averaging = with_callback("StochasticWeightAveraging", swa_lrs=0.01, swa_epoch_start=1)
    run = quick_run("--epochs", "3", *averaging)
    assert logged_accuracy(run) == pytest.approx(accuracy_of_checkpoint(run, digits))
    assert run.read_result().final["test/acc"] == logged_accuracy(run)
    expected = weights(run)
    run.summary.unlink()
    resume()
    assert all(torch.equal(expected[name], value) for name, value in weights(run).items())


def test_average_is_in_place_after_a_resume_from_the_very_end(workspace: Path) -> None:
    run = quick_run("--epochs", "2", *with_callback("EMAWeightAveraging", decay=0.9))
    mistakes = run.mistakes.read_text()
    run.summary.unlink()
    resume()
    assert run.mistakes.read_text() == mistakes


def test_finders_values_are_in_the_summary_and_kept_on_a_resume(workspace: Path) -> None:
    run = quick_run(
        *added("LearningRateFinder", num_training_steps=60), *added("BatchSizeFinder", max_trials=2)
    )
    found = run.read_result().hparams
    assert found["lr"] != 0.01
    assert found["batch_size"] != 64
    run.summary.unlink()
    resume("--epochs", "3")
    assert run.read_result().hparams == found
    assert list(workspace.glob(".*.ckpt")) == []
