"""Searches in a database: SQLite, and what Optuna's proxy serves."""

import subprocess
import sys
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from convblocks.errors import UserError
from convblocks.run.directory import LOGS
from convblocks.search import command
from convblocks.search.config import number_of
from tests.conftest import needs
from tests.scripts import run_script
from tests.search.made_up import JOURNAL, SHORT, next_of, numbers, run_next, search


@pytest.mark.slow
def test_storage_is_behind_optunas_proxy_and_an_error_says_when_that_is_gone(workspace: Path) -> None:
    """No file and no output holds the password."""
    needs("grpc")
    port = find_free_network_port()
    served = f"optuna.storages.RDBStorage('sqlite:///{workspace}/s.db')"
    program = f"import optuna; optuna.storages.run_grpc_proxy_server({served}, host='127.0.0.1', port={port})"
    flags = [*SHORT, "--trials", "2", "--confirm", "0", "--name", "s"]
    flags += ["--storage", f"grpc://me:s3cr3t@127.0.0.1:{port}"]
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", program]) as proxy:
        finished = run_script("search", *flags, cwd=workspace)
        proxy.kill()
    assert finished.returncode == 0, finished.stderr
    assert len(numbers("s")["trials"]) == 2
    assert not JOURNAL.exists()
    assert "s3cr3t" not in finished.stdout + finished.stderr
    assert [path for path in workspace.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()] == []
    assert "me:***@" in (LOGS / "s" / "search.html").read_text()
    with pytest.raises(UserError, match="--storage: GRPC connection timeout"):
        command.main(flags)


@pytest.mark.parametrize("password", ["secret", "se:cr@secret"])
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--storage=nonsense:me:{}@", "--storage: Could not parse SQLAlchemy URL"),
        ("--storage=nonsense://me:{}@here", "--storage: Can't load plugin: sqlalchemy.dialects:nonsense"),
        ("--storage=mysql://me:{}@here/s", "--storage: No module named 'MySQLdb'"),
        ("--storage=sqlite:///lightning_logs/s/other.db", "--storage: .*file is not a database"),
        ("--storage=grpc://me:{}@here:port", "--storage: give grpc://HOST:PORT, or a database's URL"),
        ("--storage=sqlite:////nowhere/s.db?passwd={}", "--storage: .*unable to open database file"),
        ("--storages=postgresql://me:{}@here/s", "unrecognized arguments: --storages"),
        ("postgresql://me:{}@here/s", "unrecognized arguments: postgresql"),
    ],
)
def test_storage_with_a_wrong_url_is_refused_in_one_line_without_the_password(
    flag: str, message: str, password: str, workspace: Path
) -> None:
    (LOGS / "s").mkdir(parents=True)
    (LOGS / "s" / "other.db").write_text("not a database at all" * 99)
    with pytest.raises(UserError, match=message) as caught:
        command.main([*SHORT, "--name", "s", flag.format(password)])
    assert "\n" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_storage_and_folder_of_a_search_stay_the_same(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{workspace}/studies.db"
    worker, another = search(storage=url), search("another", storage=url)
    run_next(worker, 2)
    running = next_of(worker, 2)
    run_next(another, 1)
    assert (worker.ended(), another.ended(), number_of(running)) == (1, 1, 1)
    assert not JOURNAL.exists()
    with pytest.raises(UserError, match="s has trials of another --storage, or none: carry on with that"):
        search()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UserError, match=f"s was begun with the folder {workspace}/{LOGS}/s, not "):
        search(storage=url)
