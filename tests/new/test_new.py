"""``convblocks new`` makes a project in which everything that its README shows works, or leaves nothing."""

import re
from contextlib import chdir
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from convblocks.errors import UsageError
from convblocks.new import command as new
from convblocks.run.directory import RunDirectory
from tests.quick_python import run_quickly


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new project of two words."""
    folder = tmp_path_factory.mktemp("projects")
    with chdir(folder):
        new.main(["wild_flowers"])
    return folder / "wild_flowers"


def test_project_has_its_name_in_all_files(project: Path) -> None:
    files = {path.name: path.read_text() for path in project.iterdir()}
    assert len(files) == 7
    assert all(new.NAME not in text and new.CLASS not in text for text in files.values())
    assert "class WildFlowersNetwork(nn.Module)" in files["wild_flowers_model.py"]


@pytest.mark.slow
def test_project_runs_what_its_readme_shows(project: Path) -> None:
    """Without pip, which needs a network, and with two seeds."""
    (block,) = re.findall(r"```bash\n(.*?)```", (project / "README.md").read_text(), re.DOTALL)
    install, *commands = [line for line in block.splitlines() if not line.startswith("#")]
    assert install == "pip install -e ."
    assert [command.split()[1] for command in commands] == ["fit", "compare", "-m"]
    for command in commands:
        words = command.replace("convblocks", "python -m convblocks", 1).replace("--seeds 5", "--seeds 2").split()
        finished = run_quickly(*words[1:], cwd=project)
        assert finished.returncode == 0, finished.stdout + finished.stderr
    run = RunDirectory("wild_flowers_model.WildFlowersNetwork/version_0", project)
    assert run.read_result().score > 0.9
    assert (project / "lightning_logs" / "compare" / "comparison.md").is_file()


@pytest.mark.slow
def test_project_notebook_runs(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook: Any = nbformat.read(project / "notebook.ipynb", as_version=4)  # type: ignore[no-untyped-call]
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
