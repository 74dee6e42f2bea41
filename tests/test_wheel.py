"""The wheel, made from the sdist and installed into an environment of its own: every
command works in an empty folder, without a network.
"""

import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from convblocks.__main__ import docstring
from convblocks.data.images import ImageSets
from convblocks.wings import commands
from tests.conftest import REPOSITORY

EXACT_RESUME = REPOSITORY / "src" / "exact_resume"
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
SHORT = (
    "--epochs 1 --trainer.limit_train_batches 20 --trainer.limit_val_batches 1 "
    "--trainer.limit_test_batches 1 --threads 1 --trainer.log_every_n_steps 5"
)
LAST = "lightning_logs/run/checkpoints/last.ckpt"
FOLDER = (
    "from convblocks import MNISTDataModule as M; "
    "m = M(); m.prepare_data(); m.setup(); print(m.root)"
)


def built(source: Path, folder: Path) -> Path:
    """The wheel that is made from the sdist of a source."""
    sdist = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "sdist",
        "--directory",
        str(folder),
    ]
    subprocess.run(sdist, cwd=source, check=True, timeout=60, capture_output=True)
    (archive,) = folder.glob("*.tar.gz")
    wheel = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(archive)]
    subprocess.run([*PIP, *wheel], check=True, timeout=300)
    (made,) = folder.glob("*.whl")
    return made


def scripts_with(wheel: Path) -> Path:
    """The scripts of an environment with a wheel, beside it, which finds the other
    packages in this one's.
    """
    environment = wheel.parent / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60
    )
    site = next((environment / "lib").glob("python*")) / "site-packages"
    # Whose own .pth files do not apply.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = str(environment / "bin" / "python")
    subprocess.run(
        [*PIP, "--python", python, "install", "--no-deps", str(wheel)], check=True, timeout=300
    )
    return environment / "bin"


def package_files(wheel: Path, package: str) -> set[str]:
    """The files of a package in a wheel."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name for name in names if name.startswith(f"{package}/")}


def metadata(wheel: Path, name: str) -> str:
    """One of the files in a wheel that say what it is."""
    folder = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    return zipfile.ZipFile(wheel).read(f"{folder}/{name}").decode()


def requirements(wheel: Path) -> set[str]:
    """What a wheel needs, of its extras too."""
    return set(re.findall(r"^Requires-Dist: (.*)$", metadata(wheel, "METADATA"), re.MULTILINE))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the repository."""
    wheel = built(REPOSITORY, tmp_path_factory.mktemp("wheel"))
    # Neither lab nor tests.
    files = zipfile.ZipFile(wheel).namelist()
    packages = {name.partition("-")[0].partition("/")[0] for name in files}
    assert packages == {"convblocks", "exact_resume"}
    return wheel


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """The scripts of an environment with it."""
    return scripts_with(wheel)


Run = Callable[[str], str]


@pytest.fixture
def run(installed: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command of that environment in an empty folder, which is also the home of its user."""
    for name in ("PYTHONPATH", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(workspace / "home"))
    monkeypatch.setenv("PATH", f"{installed}:{os.environ['PATH']}")
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody listens

    def run(command: str) -> str:
        finished = subprocess.run(
            shlex.split(command),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert finished.stderr == ""
        return finished.stdout

    return run


@pytest.mark.slow
def test_wheel_has_every_command_and_mnist_for_an_empty_folder(
    run: Run, workspace: Path, digits: ImageSets
) -> None:
    where = run("python -c 'import convblocks; print(convblocks.__file__, convblocks.__version__)'")
    assert not where.startswith(str(REPOSITORY))
    assert run("convblocks --version") == f"convblocks {where.split()[1]}\n"
    printed = run(f"convblocks fit --arch mlp --name run {SHORT}")
    (hint,) = re.findall(r"^look closer   (.*)$", printed, re.MULTILINE)
    assert "accuracy" in run(hint)
    Image.fromarray(255 - digits.test.images[0, 0].numpy()).resize((280, 280)).save("seven.png")
    assert "seven.png" in run(f"convblocks predict {LAST} seven.png")
    assert "It makes the same predictions" in run(f"convblocks export {LAST} --output digits")
    assert "mlp" in run(f"python -m convblocks compare --arch mlp --seeds 2 --jobs 1 {SHORT}")
    search = "--arch mlp --trials 2 --confirm 0 --jobs 1 --data.val_size 500 --space lr=1e-3..1e-2"
    assert "convblocks fit --arch mlp" in run(f"convblocks search {search} {SHORT}")
    assert "flowers/ is made" in run("convblocks new flowers")
    assert "churn/ is made" in run("convblocks new churn --task module")
    assert {path.name for path in workspace.iterdir()} == {
        *("home", "lightning_logs", "seven.png", "digits.onnx", "flowers", "churn")
    }


@pytest.mark.slow
def test_wheel_reads_its_own_mnist_or_that_of_a_folder(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(f"python -c {shlex.quote(FOLDER)}").endswith("site-packages/convblocks/data\n")
    monkeypatch.setenv("CONVBLOCKS_DATA", str(REPOSITORY / "data"))
    assert run(f"python -c {shlex.quote(FOLDER)}") == f"{REPOSITORY}/data\n"


@pytest.mark.slow
def test_wheel_of_exact_resume_has_the_same_files_and_needs_no_more_than_lightning(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = built(EXACT_RESUME, tmp_path)
    modules = {path.relative_to(EXACT_RESUME.parent) for path in EXACT_RESUME.rglob("*.py")}
    expected = {"exact_resume/py.typed", "exact_resume/README.md", *map(Path.as_posix, modules)}
    assert package_files(own, "exact_resume") == package_files(wheel, "exact_resume") == expected
    # Within the same ranges.
    few = r"(torch|lightning|torchmetrics)\W"
    assert requirements(own) == {line for line in requirements(wheel) if re.match(few, line)}
    assert len(requirements(own)) == 3
    assert metadata(own, "licenses/LICENSE") == (REPOSITORY / "LICENSE").read_text()

    monkeypatch.delenv("PYTHONPATH", raising=False)
    python = scripts_with(own) / "python"
    # An editable convblocks leaves a folder of data there, which is no package.
    code = "import exact_resume as e; from importlib.util import find_spec; "
    code += "print(e.ExactResume, e.__file__, find_spec('convblocks.wings'))"
    printed = subprocess.run(
        [python, "-c", code], cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True
    ).stdout
    assert str(tmp_path) in printed
    assert printed.endswith(" None\n")
    # All its tests can be imported, as in the nightly part of .ci/run.
    tests = "-p no:cacheprovider -c /dev/null --rootdir . --confcutdir tests/exact_resume"
    arguments = [*tests.split(), "tests/exact_resume", "-k", "test_imports"]
    subprocess.run([python, "-m", "pytest", *arguments], cwd=REPOSITORY, check=True, timeout=120)


def test_help_lists_all_commands_each_with_a_script_and_its_own_help() -> None:
    command = [sys.executable, "-m", "convblocks"]
    overview = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert re.findall(r"^  (\w+)  ", overview, re.MULTILINE) == list(commands())
    for name, module in commands().items():
        assert f"usage: convblocks {name}" in docstring(module)
        assert max(map(len, [*docstring(module).splitlines(), *overview.splitlines()])) <= 80
        assert (REPOSITORY / "scripts" / f"{name}.py").is_file()


def test_citation_and_changelog_have_the_version_of_the_package() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())["version"] == version
    latest = re.search(r"^## (\S+)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest is not None
    assert latest[1] == version
