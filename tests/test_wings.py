"""Wings come off: each alone, and all at once; and another package may bring one."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY
from tests.test_house import ARROWS, WINGS

QUICK = ["--epochs", "1", "--trainer.limit_train_batches", "20", "--trainer.limit_val_batches", "2", "--threads", "1"]

# What a copy of the repository has; its data is linked.
COPIED = ("src", "configs", "scripts", "tests", "pyproject.toml")

TakeOff = Callable[..., Path]


@pytest.fixture
def take_off(tmp_path: Path) -> TakeOff:
    """Copies the repository, with its data, without some wings."""

    def take_off(*wings: str) -> Path:
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in COPIED:
            if (REPOSITORY / name).is_dir():
                shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(REPOSITORY / name, copy)
        (copy / "data").symlink_to(REPOSITORY / "data")
        for wing in wings:
            shutil.rmtree(copy / "src" / "convblocks" / wing)
            (copy / "src" / "convblocks" / wing / "__pycache__").mkdir(parents=True)  # as Python leaves it
        return copy

    return take_off


def run(copy: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the package of a copy, in the copy's folder."""
    environment = os.environ | {"PYTHONPATH": str(copy / "src")}
    return subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )


def convblocks(copy: Path, *words: str) -> str:
    """The output of a command, which must succeed."""
    done = run(copy, "-m", "convblocks", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def weights(run: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return state


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["mlp", "maxpool", "batchnorm"])
def test_without_all_wings_the_weights_are_the_same_bits(take_off: TakeOff, tmp_path: Path, arch: str) -> None:
    whole, core = tmp_path / "whole", take_off(*WINGS)
    whole.mkdir()
    flags = ["fit", "--arch", arch, *QUICK, "--name", "run"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    subprocess.run([sys.executable, "-m", "convblocks", *flags], cwd=whole, env=environment, check=True, timeout=300)
    convblocks(core, *flags)
    expected, found = (weights(folder / "lightning_logs" / "run") for folder in (whole, core))
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.slow
def test_without_all_wings_help_and_fit_offer_what_is_there(take_off: TakeOff) -> None:
    core = take_off(*WINGS)
    overview = convblocks(core, "--help")
    assert [line.split()[0] for line in overview.splitlines() if line.startswith("  ")] == ["fit", "summary"]
    shown = convblocks(core, "fit", "--arch", "mlp", *QUICK)
    assert "see curves" in shown
    assert not any(word in shown for word in ("evaluate", "demo", "dead"))
    refused = run(core, "-m", "convblocks", "compare")
    assert (refused.returncode, refused.stderr.strip()) == (
        2,
        "convblocks: there is no command compare: choose one of fit, summary",
    )


@pytest.mark.slow
def test_a_run_that_began_with_wings_resumes_without_them_to_the_same_bits(take_off: TakeOff) -> None:
    """And the other way round."""
    core = take_off(*WINGS)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    flags = ["--arch", "batchnorm", *QUICK]
    command = [sys.executable, "-m", "convblocks", "fit"]
    subprocess.run([*command, *flags, "--name", "with"], cwd=core, env=environment, check=True, timeout=300)
    convblocks(core, "fit", "--name", "with", "--resume", "--epochs", "2")
    convblocks(core, "fit", *flags, "--name", "without")
    resume = ["--name", "without", "--resume", "--epochs", "2"]
    subprocess.run([*command, *resume], cwd=core, env=environment, check=True, timeout=300)
    convblocks(core, "fit", *flags, "--epochs", "2", "--name", "whole")
    first, *others = (weights(core / "lightning_logs" / name) for name in ("whole", "with", "without"))
    for other in others:
        assert all(torch.equal(value, other[name]) for name, value in first.items())


@pytest.mark.slow
def test_the_cores_tests_pass_without_wings(take_off: TakeOff) -> None:
    core = take_off(*WINGS)
    done = run(core, "-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider", "tests/core")
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.nightly
@pytest.mark.parametrize("wing", WINGS)
def test_without_one_wing_the_others_work(take_off: TakeOff, wing: str) -> None:
    """Those that need it are left out too."""
    copy = take_off(wing)
    overview = convblocks(copy, "--help")
    commands = [line.split()[0] for line in overview.splitlines() if line.startswith("  ")]
    assert commands[0] == "fit"
    for command in commands:
        assert convblocks(copy, command, "--help")
    convblocks(copy, "fit", "--arch", "mlp", *QUICK)
    assert ("compare" in commands) == (wing not in ("compare", *ARROWS["compare"]))
    if "compare" in commands:
        assert "mlp" in convblocks(copy, "compare", "--arch", "mlp", "--seeds", "2", "--jobs", "1", *QUICK)
