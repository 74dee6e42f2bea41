"""``convblocks new`` makes a project in which everything that its README shows works,
or leaves nothing.
"""

import errno
import os
import re
import subprocess
import sys
from contextlib import chdir
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from convblocks.errors import UsageError
from convblocks.new import command as new
from convblocks.record.directory import RunDirectory
from tests.forked_python import python_path
from tests.quick_python import run_quickly

TASKS = ("pictures", "module")


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a new project of each task, of two words."""
    folder = tmp_path_factory.mktemp("projects")
    with chdir(folder):
        for task in TASKS:
            new.main([f"wild_{task}", "--task", task])
    return folder


@pytest.mark.parametrize("task", TASKS)
def test_project_has_its_name_in_all_files(task: str, projects: Path) -> None:
    files = {path.name: path.read_text() for path in (projects / f"wild_{task}").iterdir()}
    assert all(new.NAME not in text and new.CLASS not in text for text in files.values())
    assert f"class Wild{task.capitalize()}Data(" in files[f"wild_{task}_task.py"]
    assert {
        "README.md",
        "config.yaml",
        "job.sbatch",
        "pyproject.toml",
        f"test_wild_{task}.py",
    } < files.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "run", "commands"),
    [
        ("pictures", "wild_pictures_task.WildPicturesNetwork/version_0", ["fit", "compare", "-m"]),
        ("module", "first", ["fit", "fit", "predict", "compare", "-m"]),
    ],
)
def test_project_runs_what_its_readme_shows(
    task: str, run: str, commands: list[str], projects: Path
) -> None:
    """Without pip, which needs a network, and with two seeds."""
    project = projects / f"wild_{task}"
    (block,) = re.findall(r"```bash\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    lines = re.sub(r"\\\n *", "", block).splitlines()
    install, *shown = [line for line in lines if not line.startswith("#")]
    assert install == "pip install -e ."
    assert [command.split()[1] for command in shown] == commands
    printed = []
    for command in shown[:-1]:
        words = (
            command.replace("convblocks", "python -m convblocks", 1)
            .replace("--seeds 5", "--seeds 2")
            .split()
        )
        finished = run_quickly(*words[1:], cwd=project)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        assert finished.stderr == ""
        printed.append(finished.stdout)
    assert "This run can resume only" not in "".join(printed)
    assert re.search(r" leads | is better than ", printed[-1]), printed[-1]
    assert "nothing to compare" not in printed[-1]
    paths = os.environ | {
        "PYTHONPATH": python_path()
    }  # the check of resume starts processes of its own
    subprocess.run(
        [sys.executable, *shown[-1].split()[1:]], cwd=project, env=paths, check=True, timeout=300
    )
    assert RunDirectory(run, project).read_result().score > 0.9
    assert (project / "lightning_logs" / "compare" / "comparison.md").is_file()


@pytest.mark.parametrize("task", TASKS)
def test_project_has_a_job_script_that_starts_fit_and_passes_options_on(
    task: str, projects: Path
) -> None:
    """Beside an srun and a convblocks that print their words."""
    folder = projects / "bin"
    folder.mkdir(exist_ok=True)
    for name, code in (("srun", 'shift 2; exec "$@"'), ("convblocks", 'echo "$@"')):
        (folder / name).write_text(f"#!/bin/bash\n{code}\n")
        (folder / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "3",
    }
    command = ["bash", "job.sbatch", "--epochs", "3"]
    started = subprocess.run(
        command, cwd=projects / f"wild_{task}", env=environment, capture_output=True, text=True
    )
    assert started.stdout == (
        "fit --config config.yaml --name job --resume "
        "--trainer.devices 2 --trainer.num_nodes 3 --epochs 3\n"
    ), started.stderr


@pytest.mark.slow
def test_project_notebook_runs(
    projects: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    project = projects / "wild_pictures"
    notebook: Any = nbformat.read(project / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": str(project)}}).execute()
    assert "image/png" in notebook.cells[-1].outputs[-1].data


@pytest.mark.parametrize("name", ["../a", "Flowers", "my-flowers", "_a", "3a", "é"])
def test_project_with_a_wrong_name_is_refused(name: str, workspace: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot name a project: use lower-case letters"):
        new.main([name])
    assert list(workspace.iterdir()) == []


def test_project_overwrites_nothing(workspace: Path) -> None:
    Path("flowers").touch()
    with pytest.raises(FileExistsError):
        new.main(["flowers"])
    assert list(workspace.iterdir()) == [workspace / "flowers"]


def test_project_on_a_full_disk_leaves_nothing(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail)
    with pytest.raises(OSError, match="No space left"):
        new.main(["flowers"])
    assert not Path("flowers").exists()
