"""Searches in a database: a real PostgreSQL, and SQLite."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from lightning.fabric.plugins.environments.lightning import find_free_network_port

from convblocks.errors import UserError
from convblocks.run.directory import LOGS
from convblocks.search import command
from tests.conftest import needs
from tests.scripts import run_script, start_script, wait_until
from tests.search.made_up import JOURNAL, SHORT, next_of, numbers, run_next, search
from tests.search.test_promise import LONG

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian puts them


@pytest.fixture
def server() -> Iterator[tuple[Callable[..., None], str]]:
    """Calls programs of a PostgreSQL server, which refuses to run as root; its folder has socket and data."""
    needs("psycopg")
    if not PROGRAMS:
        reason = "needs PostgreSQL: apt-get install postgresql"
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    with TemporaryDirectory() as folder:  # which another user can enter
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(PROGRAMS[-1] / program), "--pgdata", f"{folder}/data", *arguments]
            subprocess.run(command, user=user, cwd=folder, stdout=subprocess.DEVNULL, check=True)

        run("initdb", "--no-sync", "--auth", "trust", "--username", "tester")
        yield run, folder
        run("pg_ctl", "stop", "--mode", "immediate")


@pytest.mark.slow
def test_two_searches_share_a_database_and_go_on_when_one_or_the_server_was_killed(
    server: tuple[Callable[..., None], str], workspace: Path
) -> None:
    """With the first search the process of its run is killed; no file and no output holds the password."""
    run, folder = server
    start = ("pg_ctl", "start", "--log", f"{folder}/log", "--options", f"-c listen_addresses= -c fsync=off -k {folder}")
    url = f"postgresql+psycopg://tester:s3cr3t@/postgres?host={folder}"  # it takes any password
    flags = [*LONG, "--trials", "4", "--jobs", "1", "--storage", url]
    run(*start)
    with (
        start_script("search", *flags, cwd=workspace) as first,
        start_script("search", *flags, cwd=workspace) as second,
    ):
        wait_until(lambda: second.poll() is not None or len(list((LOGS / "s").glob("trial_*/metrics.csv"))) > 1)
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate(timeout=60)
        run("pg_ctl", "stop", "--mode", "immediate")
        _, errors = second.communicate(timeout=60)
    run(*start)
    assert (second.returncode, errors.count("\n")) == (1, 1), errors
    assert errors.startswith("search.py: --storage: ")
    finished = run_script("search", *flags, cwd=workspace)
    assert finished.returncode == 0, finished.stderr
    assert len(numbers("s")["trials"]) == 4
    assert not JOURNAL.exists()
    assert "s3cr3t" not in errors + finished.stdout + finished.stderr
    assert [path for path in workspace.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()] == []
    assert "tester:***@" in (LOGS / "s" / "search.html").read_text()


@pytest.mark.slow
def test_a_search_keeps_its_choices_behind_optunas_proxy_and_says_when_that_is_gone(workspace: Path) -> None:
    needs("grpc")
    port = find_free_network_port()
    served = f"optuna.storages.RDBStorage('sqlite:///{workspace}/s.db')"
    program = f"import optuna; optuna.storages.run_grpc_proxy_server({served}, host='127.0.0.1', port={port})"
    flags = [*SHORT, "--trials", "2", "--confirm", "0", "--name", "s", "--storage", f"grpc://127.0.0.1:{port}"]
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", program]) as proxy:
        finished = run_script("search", *flags, cwd=workspace)
        proxy.kill()
    assert finished.returncode == 0, finished.stderr
    assert len(numbers("s")["trials"]) == 2
    with pytest.raises(UserError, match="--storage: GRPC connection timeout"):
        command.main(flags)


@pytest.mark.parametrize("password", ["secret", "se/cret", "se:cr@secret"])
@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--storage=nonsense:me:{}@", "--storage: Could not parse SQLAlchemy URL"),
        ("--storage=nonsense://me:{}@here", "--storage: Can't load plugin: sqlalchemy.dialects:nonsense"),
        ("--storage=mysql://me:{}@here/s", "--storage: No module named 'MySQLdb'"),
        ("--storage=sqlite:////nowhere/s.db", "--storage: .*unable to open database file"),
        ("--storage=sqlite:///lightning_logs/s/other.db", "--storage: .*file is not a database"),
        ("--storage=postgresql+psycopg://me:{}@nowhere.invalid/s", "--storage: "),
        ("--storage=grpc://me:{}@here:port", "--storage: give grpc://HOST:PORT, or a database's URL"),
        ("--storage=sqlite:////nowhere/s.db?passwd={}", "--storage: .*unable to open database file"),
        ("--storages=postgresql://me:{}@here/s", "unrecognized arguments: --storages"),
        ("postgresql://me:{}@here/s", "unrecognized arguments: postgresql"),
    ],
)
def test_a_wrong_url_is_one_line_without_the_password(flag: str, message: str, password: str, workspace: Path) -> None:
    (LOGS / "s").mkdir(parents=True)
    (LOGS / "s" / "other.db").write_text("not a database at all" * 99)
    with pytest.raises(UserError, match=message) as caught:
        command.main([*SHORT, "--name", "s", flag.format(password)])
    assert "\n" not in str(caught.value)
    assert "cret" not in str(caught.value)


def test_a_search_keeps_to_its_storage_and_folder(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{workspace}/studies.db"
    worker, another = search(storage=url), search("another", storage=url)
    run_next(worker, 2)
    running = next_of(worker, 2)
    run_next(another, 1)
    assert (worker.ended(), another.ended(), running.number) == (1, 1, 1)
    assert not JOURNAL.exists()
    with pytest.raises(UserError, match="s has trials of another --storage, or none: carry on with that"):
        search()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UserError, match=f"s was begun with the folder {workspace}/{LOGS}/s, not "):
        search(storage=url)
