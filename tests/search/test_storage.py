"""Searches in Optuna's own storages: a real PostgreSQL, and a real gRPC proxy before it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
import pytest

from convblocks.errors import UserError
from convblocks.run.directory import LOGS
from convblocks.search import command
from convblocks.search.storage import connect, without_password
from tests.conftest import needs
from tests.scripts import run_script, start_script, wait_until
from tests.search.made_up import JOURNAL, SHORT, next_of, params, run_next, search
from tests.search.test_promise import LONG, ends_well

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian puts them
PROXY = "import sys, optuna; optuna.storages.run_grpc_proxy_server({storage}, host='127.0.0.1', port={port})"


class Postgres:
    """A PostgreSQL server with a socket in a folder, which refuses to run as root."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.url = f"postgresql+psycopg://tester@/postgres?host={folder}"
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


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def proxy(postgres: Postgres) -> Iterator[str]:
    """The URL of a proxy before the database."""
    needs("grpc")
    port = free_port()
    program = PROXY.format(storage=f"optuna.storages.RDBStorage({postgres.url!r})", port=port)
    server = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program])
    with server:
        yield f"grpc://127.0.0.1:{port}"
        server.kill()


@pytest.fixture(params=["postgres", "proxy"])
def url(request: pytest.FixtureRequest) -> str:
    found = request.getfixturevalue(request.param)
    return found.url if isinstance(found, Postgres) else str(found)


@pytest.mark.slow
def test_two_searches_share_the_trials_and_one_carries_on_those_of_the_other(
    url: str, postgres: Postgres, workspace: Path
) -> None:
    """The first is killed, and the process of its run with it."""
    name = url.partition(":")[0]
    flags = [*LONG, "--trials", "4", "--jobs", "1", "--name", name, "--storage", url]
    with start_script("search", *flags, cwd=workspace) as first:
        wait_until(lambda: first.poll() is not None or list((LOGS / name).glob("trial_*/metrics.csv")))
        with start_script("search", *flags, cwd=workspace) as second:
            wait_until(lambda: second.poll() is not None or (LOGS / name / "trial_1").is_dir())
            os.killpg(first.pid, signal.SIGKILL)
            first.communicate(timeout=60)
            ends_well(second)
    study = optuna.load_study(study_name=name, storage=connect(postgres.url))
    assert [found.state.is_finished() for found in study.trials] == [True] * 4
    assert (LOGS / name / "search.md").is_file()
    assert not list(LOGS.glob("*/journal.log"))


@pytest.mark.slow
def test_a_search_makes_the_same_choices_as_with_a_journal(url: str, workspace: Path) -> None:
    """So many trials that the sampler has begun to learn, each in a process of its own."""
    name = f"choices {url.partition(':')[0]}"
    for _ in range(14):
        run_next(search("journal"), 14)
        run_next(search(name, storage=url), 14)
    assert params(search(name, storage=url)) == params(search("journal"))


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
    assert "validation accuracy" in finished.stdout


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("nonsense", "--storage: Could not parse SQLAlchemy URL"),
        ("nonsense://here", "--storage: Can't load plugin: sqlalchemy.dialects:nonsense"),
        ("sqlite:////nowhere/s.db", "--storage: unable to open database file"),
        ("sqlite:///lightning_logs/s/other.db", "--storage: file is not a database"),
        ("mysql://me@here/s", "--storage: No module named 'MySQLdb'"),
        ("grpc://here", "--storage: give grpc://HOST:PORT"),
        ("grpc://here:there", "--storage: Port could not be cast"),
        pytest.param("postgresql+psycopg://127.0.0.1:{port}/s", "(refused|failed)", marks=pytest.mark.slow),
        pytest.param("grpc://127.0.0.1:{port}", "--storage: GRPC connection timeout", marks=pytest.mark.slow),
    ],
)
def test_a_wrong_url_and_a_server_that_does_not_answer_are_one_line(wrong: str, message: str, workspace: Path) -> None:
    (LOGS / "s").mkdir(parents=True)
    (LOGS / "s" / "other.db").write_text("not a database at all" * 99)
    for package in {"post": ["psycopg"], "grpc": ["grpc"]}.get(wrong[:4], []):
        needs(package)
    with pytest.raises(UserError, match=message) as caught:
        command.main([*SHORT, "--name", "s", "--storage", wrong.format(port=free_port())])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("password", ["secret", "se/cret", "se:cr@secret"])
@pytest.mark.parametrize(
    "flags",
    [
        ["--storage", "mysql://me:{}@here/s"],
        ["--storage=grpc://me:{}@here:there"],
        ["--storage", "nonsense://me:{}@here/s"],
        ["--storage", "postgresql+psycopg://me:{}@nowhere.invalid/s"],
        ["--storage", "postgresql+psycopg://nowhere.invalid/s?user=me&password={}"],
        ["--storages=postgresql://me:{}@here/s"],
        ["postgresql://me:{}@here/s"],
    ],
)
def test_a_message_shows_no_password(flags: list[str], password: str, workspace: Path) -> None:
    with pytest.raises(UserError) as caught:
        command.main([*SHORT, "--name", "s", *(word.format(password) for word in flags)])
    assert "cret" not in str(caught.value), str(caught.value)


def test_a_command_is_shown_without_its_password() -> None:
    for password in ("secret", "se:cret", "se/cr@et"):
        assert (
            without_password(f"--storage=postgresql://me:{password}@here/s") == "--storage=postgresql://me:***@here/s"
        )
    assert (
        without_password("postgresql://here/s?user=me&password=secret&x=1")
        == "postgresql://here/s?user=me&password=***&x=1"
    )
    for word in ("postgresql+psycopg://me@here/s", "grpc://here:13000", "--lr"):
        assert without_password(word) == word


@pytest.mark.slow
def test_no_file_of_a_search_holds_the_password(postgres: Postgres, workspace: Path) -> None:
    """Trust, as the server is set up, takes any."""
    url = postgres.url.replace("tester@", "tester:s3cr3t@")
    finished = run_script(
        "search", *SHORT, "--trials", "1", "--confirm", "0", "--name", "p", "--storage", url, cwd=workspace
    )
    assert finished.returncode == 0, finished.stderr
    assert "s3cr3t" not in finished.stdout + finished.stderr
    assert [path for path in workspace.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()] == []
    assert "tester:***@" in (LOGS / "p" / "search.html").read_text()


def test_a_search_keeps_to_its_storage_folder_and_configuration(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{workspace}/studies.db"
    worker = search(storage=url)
    run_next(worker, 2)
    running = next_of(worker, 2)
    another = search("another", storage=url)
    run_next(another, 1)
    assert (worker.ended(), another.ended(), running.number) == (1, 1, 1)
    with pytest.raises(UserError, match="s was begun with --seed 0, not 1: carry on with that, or choose another"):
        search(storage=url, seed=1)
    assert not JOURNAL.exists()
    with pytest.raises(UserError, match="s has trials of another --storage, or none: carry on with that"):
        search()
    run_next(search("file"), 1)
    with pytest.raises(UserError, match="file has trials of another --storage, or none"):
        search("file", storage=url)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UserError, match=f"s was begun with the folder {workspace}/{LOGS}/s, not "):
        search(storage=url)
