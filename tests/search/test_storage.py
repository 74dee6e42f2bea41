"""Searches in a database: a real PostgreSQL, and SQLite."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from convblocks.errors import UserError
from convblocks.run.directory import LOGS
from convblocks.search import command
from convblocks.search.storage import without_password
from tests.conftest import needs
from tests.scripts import run_script, start_script, wait_until
from tests.search.made_up import JOURNAL, SHORT, next_of, numbers, run_next, search
from tests.search.test_promise import LONG, ends_well

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian puts them


class Postgres:
    """A PostgreSQL server with a socket in a folder, which refuses to run as root."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.url = f"postgresql+psycopg://tester:s3cr3t@/postgres?host={folder}"  # it takes any password
        self.run("initdb", "--no-sync", "--auth", "trust", "--username", "tester")

    def run(self, program: str, *arguments: str) -> None:
        user = "postgres" if os.geteuid() == 0 else None
        command = [str(PROGRAMS[-1] / program), "--pgdata", f"{self.folder}/data", *arguments]
        subprocess.run(command, user=user, cwd=self.folder, stdout=subprocess.DEVNULL, check=True)

    def start(self) -> None:
        options = f"-c listen_addresses= -c fsync=off -k {self.folder}"
        self.run("pg_ctl", "start", "--log", f"{self.folder}/log", "--options", options)

    def stop(self) -> None:
        self.run("pg_ctl", "stop", "--mode", "immediate")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    needs("psycopg")
    if not PROGRAMS:
        reason = "needs PostgreSQL: apt-get install postgresql"
        if "CI" in os.environ:
            pytest.fail(reason)
        pytest.skip(reason)
    with TemporaryDirectory() as folder:  # which another user can enter
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        server = Postgres(folder)
        server.start()
        yield server
        server.stop()


@pytest.mark.slow
def test_two_searches_share_the_trials_and_one_carries_on_those_of_the_other(
    postgres: Postgres, workspace: Path
) -> None:
    """The first is killed, and the process of its run with it; no file and no output holds the password."""
    flags = [*LONG, "--trials", "4", "--jobs", "1", "--name", "shared", "--storage", postgres.url]
    with start_script("search", *flags, cwd=workspace) as first:
        wait_until(lambda: first.poll() is not None or list((LOGS / "shared").glob("trial_*/metrics.csv")))
        with start_script("search", *flags, cwd=workspace) as second:
            wait_until(lambda: second.poll() is not None or (LOGS / "shared" / "trial_1").is_dir())
            os.killpg(first.pid, signal.SIGKILL)
            first.communicate(timeout=60)
            output = ends_well(second)
    assert len(numbers("shared")["trials"]) == 4
    assert not list(LOGS.glob("*/journal.log"))
    assert "s3cr3t" not in output
    assert [path for path in workspace.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()] == []
    assert "tester:***@" in (LOGS / "shared" / "search.html").read_text()


@pytest.mark.slow
def test_a_search_ends_in_one_line_if_its_server_does_and_goes_on_with_it(postgres: Postgres, workspace: Path) -> None:
    flags = [*LONG, "--trials", "2", "--jobs", "1", "--name", "s", "--storage", postgres.url]
    with start_script("search", *flags, cwd=workspace) as process:
        wait_until(lambda: process.poll() is not None or list((LOGS / "s").glob("trial_*/metrics.csv")))
        postgres.stop()
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            postgres.start()
    assert (process.returncode, errors.count("\n")) == (1, 1), errors
    assert errors.startswith("search.py: --storage: ")
    finished = run_script("search", *flags, cwd=workspace)
    assert finished.returncode == 0, finished.stderr


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


def test_a_url_without_a_password_is_shown_as_it_is() -> None:
    for word in ("postgresql+psycopg://me@here/s", "sqlite:///s.db", "--lr"):
        assert without_password(word) == word


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
