"""Wings come off: each alone, and all at once. Another package may bring one."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch

from convblocks.record.directory import RunDirectory
from tests.conftest import REPOSITORY
from tests.core.run.test_fit import assert_same_weights
from tests.scripts import run_fresh, run_script
from tests.test_house import WINGS, needed_by

QUICK = [
    "--epochs",
    "1",
    "--trainer.limit_train_batches",
    "20",
    "--trainer.limit_val_batches",
    "2",
    "--threads",
    "1",
]

# What a copy of the repository has; its data is linked.
COPIED = ("src", "configs", "scripts", "tests")

# The package with all its wings.
WHOLE = [REPOSITORY / "src"]


def take_off(wings: Iterable[str], copy: Path) -> None:
    """Copy the repository, with its data, without some wings."""
    for name in COPIED:
        shutil.copytree(
            REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(REPOSITORY / "pyproject.toml", copy)
    (copy / "data").symlink_to(REPOSITORY / "data")
    for wing in wings:
        shutil.rmtree(copy / "src" / "convblocks" / wing)
        # As Python leaves it.
        (copy / "src" / "convblocks" / wing / "__pycache__").mkdir(parents=True)


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without any wing."""
    copy = tmp_path_factory.mktemp("core") / "copy"
    take_off(WINGS, copy)
    return copy


def run(folder: Path, *words: str, path: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with the package of the copy that the folder is, or with others."""
    return run_fresh(
        words,
        folder,
        {"PYTHONPATH": os.pathsep.join(map(str, path or [folder / "src"]))},
        timeout=1200,
    )


def convblocks(folder: Path, *words: str, path: Sequence[Path] = ()) -> str:
    """The output of a command, which must succeed."""
    done = run(folder, "-m", "convblocks", *words, path=path)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_help_needs_no_package_that_only_a_wing_needs(core: Path) -> None:
    """Such as optuna, which README's first command does not install."""
    copy = core.parent / "without optuna"
    take_off([], copy)
    (copy / "src/convblocks/search/__init__.py").write_text("raise ImportError('no optuna')")
    assert "search" in commands(copy)
    assert "usage: convblocks search" in convblocks(copy, "search", "--help")


def commands(folder: Path) -> list[str]:
    """The commands that are there."""
    overview = convblocks(folder, "--help")
    return [line.split()[0] for line in overview.splitlines() if line.startswith("  ")]


@pytest.mark.slow
def test_wings_that_are_gone_change_no_bit_of_a_run_begun_without_them_or_with_them(
    core: Path,
) -> None:
    fit = ["fit", "--arch", "maxpool", *QUICK, "--name"]
    convblocks(core, *fit, "with", path=WHOLE)
    convblocks(core, "fit", "--name", "with", "--resume", "--epochs", "2")
    convblocks(core, *fit, "without")
    convblocks(core, "fit", "--name", "without", "--resume", "--epochs", "2", path=WHOLE)
    convblocks(core, *fit, "whole", "--epochs", "2", path=WHOLE)
    for name in ("with", "without"):
        assert_same_weights(RunDirectory("whole", core), RunDirectory(name, core))


@pytest.mark.slow
def test_wings_that_are_gone_are_not_offered_and_the_tests_of_the_core_pass(core: Path) -> None:
    assert commands(core) == ["fit"]
    printed = convblocks(core, "fit", "--arch", "mlp", *QUICK)
    assert "see curves" in printed
    assert not any(word in printed for word in ("evaluate", "demo", "dead"))
    refused = run(core, "-m", "convblocks", "compare")
    message = "convblocks: there is no command compare: choose one of fit"
    assert (refused.returncode, refused.stderr.strip()) == (2, message)
    done = run(
        core,
        "-m",
        "pytest",
        "-q",
        "-n",
        "1",
        "-p",
        "no:cacheprovider",
        "tests/core",
        "tests/exact_resume",
    )
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.nightly
@pytest.mark.parametrize("wing", WINGS)
def test_wing_that_is_gone_leaves_the_others_but_those_that_need_it(
    wing: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    take_off([wing], copy)
    names = commands(copy)
    assert names[0] == "fit"
    for name in names:
        assert convblocks(copy, name, "--help")
    convblocks(copy, "fit", "--arch", "mlp", *QUICK)
    assert ("compare" in names) == (wing not in {"compare", *needed_by("compare")})
    if "compare" in names:
        assert "mlp" in convblocks(
            copy, "compare", "--arch", "mlp", "--seeds", "2", "--jobs", "1", *QUICK
        )


def installed(site: Path, **modules: str) -> None:
    """Install a package with these modules by hand; the first one is its wing."""
    site.mkdir(exist_ok=True)
    for name, code in modules.items():
        (site / f"{name}.py").write_text(code)
    (name, *_) = modules
    about = site / f"{name}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[convblocks.wings]\n{name} = {name}\n")


def fit_with(site: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """A short run beside the packages in a folder."""
    environment = {"PYTHONPATH": os.pathsep.join([str(REPOSITORY / "src"), str(site)])}
    flags = ("--arch", "mlp", *QUICK, "--trainer.logger", "false", *flags)
    return run_script("fit", *flags, cwd=site.parent, environment=environment, fresh=True)


@pytest.mark.slow
def test_wing_in_own_md_is_installed_and_adds_its_line(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "manual" / "own.md").read_text()
    for name, content in re.findall(
        r"```\w+\n# ((?:pyproject|longest_epoch)[\w/.]+)\n(.*?)```", text, flags=re.DOTALL
    ):
        path = tmp_path / "wing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    site = tmp_path / "site"
    install = [
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    ]
    subprocess.run([sys.executable, *install, str(tmp_path / "wing")], check=True, timeout=120)
    done = fit_with(site)
    assert re.search(r"^longest epoch: 1, \d\.\d s$", done.stdout, flags=re.MULTILINE), (
        done.stdout + done.stderr
    )
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wing", "reason"),
    [
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_"),
        ("VERSION = 0", "ValueError: it is made for version 0 of the tables in wings.py, this"),
    ],
    ids=["import", "version"],
)
def test_wing_that_cannot_be_used_is_one_line_and_the_run_goes_on(
    tmp_path: Path, wing: str, reason: str
) -> None:
    installed(tmp_path / "site", other=wing)
    done = fit_with(tmp_path / "site")
    assert (done.returncode, "test accuracy" in done.stdout) == (0, True), done.stderr
    assert done.stderr.startswith(f"fit.py: the wing other is left out: {reason}")
    assert done.stderr.count("\n") == 1


MAKE = "def make(parts): "

ADDING = """
from convblocks.run.callbacks import RunCallback

def make(parts):
    return Adding()

class Adding(RunCallback):
    """


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tables", "parts", "reason"),
    [
        ("CALLBACKS = 3", "", "the table CALLBACKS of the wing other is left out"),
        ("CALLBACKS = ('gone',)", "", "the wing gone is left out: ModuleNotFoundError"),
        ("CALLBACKS = ('other_parts',)", "", "AttributeError: module 'other_parts' has no"),
        ("CALLBACKS = ('other_parts',)", f"{MAKE}1 / 0", "ZeroDivisionError"),
        ("CALLBACKS = ('other_parts',)", f"{MAKE}return 3", "its make returns a int"),
        ("CALLBACKS = ('other_parts',)", "raise SystemExit(0)", "SystemExit: 0"),
        ("KEEPERS = ('other_parts',)", "def make_keeper(): return []", "returns a list"),
        ("SOURCES = ('other_parts',)", "", ""),  # not asked for, since MNIST is there
        (
            "OPTIONS = {'polite': 'other_parts'}",
            "def add_option(parser): parser.add_argument('--seed')",
            "conflicting option string",
        ),
        ("OPTIONS = {'a b': 'other_parts'}", "", "the table OPTIONS of the wing other is left out"),
        (
            "OPTIONS = {'trainer': 'other_parts'}",
            "def add_option(parser): parser.add_argument('--trainer')",
            "the table OPTIONS of the wing other is left out",
        ),
        ("CALLBACKS = ('other_parts',)", ADDING + "on_result = lambda *_: None", "not a RunResult"),
        ("CALLBACKS = ('other_parts',)", ADDING + "on_result = lambda *_: 1 / 0", "adds is left"),
        (
            "CALLBACKS = ('other_parts',)",
            ADDING + "on_result = lambda *it: it[2].facts.update(x=object()) or it[2]",
            "Encoding objects of type object is unsupported",
        ),
        ("CALLBACKS = ('other_parts',)", ADDING + "last_lines = lambda *_: 'it'", "not a list of"),
        ("CALLBACKS = ('other_parts',)", ADDING + "last_lines = lambda *_: exit(0)", "SystemExit"),
    ],
)
def test_fault_of_a_wing_is_one_line_and_the_run_goes_on(
    tmp_path: Path, tables: str, parts: str, reason: str
) -> None:
    installed(tmp_path / "site", other=f"VERSION = 3\n{tables}", other_parts=parts)
    done = fit_with(tmp_path / "site")
    assert (done.returncode, "test accuracy" in done.stdout) == (0, True), done.stderr
    assert reason in done.stderr
    assert done.stderr.count("\n") == (1 if reason else 0), done.stderr


@pytest.mark.slow
def test_wing_may_add_an_option_a_keeper_and_a_source_and_refuse_a_run(tmp_path: Path) -> None:
    tables = """
VERSION = 3
OPTIONS = {"polite": "other_parts"}
CALLBACKS = KEEPERS = SOURCES = ("other_parts",)
"""
    parts = """
import torch
from convblocks import ImageSets, ImageSource, LabelledImages
from convblocks.errors import UsageError
from exact_resume import Keeper

def add_option(parser):
    parser.add_argument("--polite", type=bool, default=True)

def make(parts):
    if not parts.config.options["polite"]:
        raise UsageError("say please")

class Manners(Keeper):
    def state(self, moment):
        return {"please": self.trainer.current_epoch}

def make_keeper():
    return Manners()

class Noise(ImageSource):
    def load(self):
        images = torch.randint(256, (64, 1, 8, 8), dtype=torch.uint8)
        part = LabelledImages(images, torch.arange(64) % 2)
        return ImageSets.of(part, part, ["even", "odd"])

def find(root, size):
    return Noise(root) if (root / "noise").exists() else None
"""
    site = tmp_path / "site"
    installed(site, other=tables, other_parts=parts)

    refused = fit_with(site, "--polite", "false")
    assert (refused.returncode, refused.stderr) == (2, "fit.py: say please\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "noise").touch()
    done = fit_with(site, "--data.root", "data", "--batch_size", "8", "--name", "noise")
    assert (
        "64 training and 64 test images, 1 x 8 x 8 pixels, 2 classes (even, odd)" in done.stdout
    ), done.stderr
    run = RunDirectory("noise", tmp_path)
    assert "polite" not in run.config.read_text()
    callbacks = torch.load(run.last_checkpoint, weights_only=True)["callbacks"].values()
    (kept,) = [state["processes"] for state in callbacks if "processes" in state]
    assert [process["Manners"] for process in kept] == [{"please": 0}]
