"""Wings come off: each alone, and all at once. Another package may bring one."""

import csv
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY
from tests.scripts import run_script
from tests.test_house import ARROWS, WINGS

QUICK = ["--epochs", "1", "--trainer.limit_train_batches", "20", "--trainer.limit_val_batches", "2", "--threads", "1"]

# What a copy of the repository has; its data is linked.
COPIED = ("src", "configs", "scripts", "tests", "pyproject.toml")

# The package with all its wings.
WHOLE = [REPOSITORY / "src"]

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


def run(folder: Path, *words: str, path: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with the package of the copy that the folder is, or with others."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path or [folder / "src"]))}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )


def convblocks(folder: Path, *words: str, path: Sequence[Path] = ()) -> str:
    """The output of a command, which must succeed."""
    done = run(folder, "-m", "convblocks", *words, path=path)
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
    convblocks(whole, *flags, path=WHOLE)
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
    flags = ["--arch", "batchnorm", *QUICK]
    convblocks(core, "fit", *flags, "--name", "with", path=WHOLE)
    convblocks(core, "fit", "--name", "with", "--resume", "--epochs", "2")
    convblocks(core, "fit", *flags, "--name", "without")
    convblocks(core, "fit", "--name", "without", "--resume", "--epochs", "2", path=WHOLE)
    convblocks(core, "fit", *flags, "--epochs", "2", "--name", "whole")
    first, *others = (weights(core / "lightning_logs" / name) for name in ("whole", "with", "without"))
    for other in others:
        assert all(torch.equal(value, other[name]) for name, value in first.items())
    with (core / "lightning_logs" / "with" / "metrics.csv").open() as file:
        first_row, second_row = csv.DictReader(file)
    assert first_row["dead/relu1"]
    assert second_row["dead/relu1"] == ""  # nobody has measured it


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
def test_the_wing_in_own_md_is_installed_and_adds_its_line(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "manual" / "own.md").read_text()
    for name, content in re.findall(r"```\w+\n# ((?:pyproject|longest_epoch)[\w/.]+)\n(.*?)```", text, flags=re.DOTALL):
        path = tmp_path / "wing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    site = tmp_path / "site"
    install = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([sys.executable, *install, str(tmp_path / "wing")], check=True, timeout=120)
    done = fit_with(site)
    assert re.search(r"^longest epoch: 1, \d\.\d s$", done.stdout, flags=re.MULTILINE), done.stdout + done.stderr
    assert done.stderr == ""


WING = "VERSION = 1\nCALLBACKS = ('other_callback',)\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wing", "callback", "reason"),
    [
        ("import nothing_of_this_name", "", "other is left out: ModuleNotFoundError: No module named 'nothing_of_"),
        ("VERSION = 0", "", "other is left out: ValueError: it is made for version 0 of the tables in wings.py, this"),
        (WING, "def make(", "other_callback is left out: SyntaxError: "),
        (WING, "", "other_callback is left out: AttributeError: module 'other_callback' has no attribute 'make'"),
        (WING, "def make(run): return run.mistake", "other_callback is left out: AttributeError: 'Run' object has"),
    ],
    ids=["import", "version", "syntax", "no make", "make"],
)
def test_a_broken_wing_is_one_line_and_the_run_goes_on(tmp_path: Path, wing: str, callback: str, reason: str) -> None:
    installed(tmp_path / "site", other=wing, other_callback=callback)
    done = fit_with(tmp_path / "site")
    assert (done.returncode, "test accuracy" in done.stdout) == (0, True), done.stderr
    assert done.stderr.startswith(reason and f"fit.py: the wing {reason}")  # MNIST's files come before other sources
    assert done.stderr.count("\n") == bool(reason)


@pytest.mark.slow
def test_a_broken_command_leaves_the_overview(tmp_path: Path) -> None:
    site = tmp_path / "site"
    installed(site, other="VERSION = 1\nCOMMANDS = {'lost': 'nowhere.command'}")
    shown = run(tmp_path, "-m", "convblocks", "--help", path=[*WHOLE, site])
    assert (shown.returncode, "  new  " in shown.stdout, shown.stderr) == (0, True, "")


@pytest.mark.slow
def test_a_wing_is_not_lost_where_it_is_imported_first(tmp_path: Path) -> None:
    """Its own import of this package must not look for wings while it is half initialised."""
    site = tmp_path / "site"
    tables = "from convblocks import ImageDataModule\nVERSION = 1\nCALLBACKS = ('other_callback',)\n"
    installed(site, other=tables, other_callback="def make(run): print('made')")
    program = "import other\nfrom convblocks import wings\nwings.CALLBACKS = ()\nwings.make_callbacks(None)"
    shown = run(tmp_path, "-c", program, path=[*WHOLE, site])
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "made\n", "")


@pytest.mark.slow
def test_a_wing_may_add_a_command_an_option_and_a_source_and_refuse_a_run(tmp_path: Path) -> None:
    tables = """
VERSION = 1
COMMANDS = {"hello": "other_parts", "fit": "other_parts"}
OPTIONS = {"polite": "other_parts"}
CALLBACKS = SOURCES = ("other_parts",)
"""
    parts = '''
"""Greet.

usage: convblocks hello
"""
import torch
from convblocks import ImageSets, ImageSource, LabelledImages
from convblocks.errors import UsageError

greeting = "hello"

def main(arguments):
    print(greeting)

def add_option(parser):
    parser.add_argument("--polite", type=bool, default=True)

def make(run):
    if not run.config.options["polite"]:
        raise UsageError("say please")

class Noise(ImageSource):
    def load(self):
        images = torch.randint(256, (64, 1, 8, 8), dtype=torch.uint8)
        part = LabelledImages(images, torch.arange(64) % 2)
        return ImageSets.of(part, part, ["even", "odd"])

def find(root, size):
    return Noise(root) if (root / "noise").exists() else None
'''
    site = tmp_path / "site"
    installed(site, other=tables, other_parts=parts)

    def output(*words: str) -> str:
        return convblocks(tmp_path, *words, path=[*WHOLE, site])

    assert "  hello       Greet.\n" in output("--help")
    assert output("hello") == "hello\n"
    assert output("hello", "--help") == "Greet.\n\nusage: python -m convblocks hello\n"
    assert output("fit", "--help").startswith("Train a network")  # no name is taken away
    refused = fit_with(site, "--polite", "false")
    assert (refused.returncode, refused.stderr) == (2, "fit.py: say please\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "noise").touch()
    done = fit_with(site, "--data.root", "data", "--batch_size", "8", "--name", "noise")
    assert "64 training and 64 test images, 1 x 8 x 8 pixels, 2 classes (even, odd)" in done.stdout, done.stderr
    assert "polite" not in (tmp_path / "lightning_logs" / "noise" / "config.yaml").read_text()
