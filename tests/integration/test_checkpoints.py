"""Where a run that waits is kept: SQLite by default, Postgres by URL. Another kernel goes on from there."""

import getpass
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from lives import restarted

from orchmagic.errors import OrchError, SettingsError

DRAFT = '%%chain careful --no-cache\ndraft\n    Draft for {{ who }}\napprove "Send?"\nlast\n    Sent {{ draft }}\n'
TOOLS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
needs_postgres = pytest.mark.skipif(not TOOLS or shutil.which("su") is None, reason="no Postgres server is installed")


def use(notebook, url):
    notebook.session.services.environ.update({"ORCHMAGIC_CHECKPOINTS": url})
    notebook.session.reload()


def test_a_waiting_run_is_kept_in_a_file_that_only_its_owner_reads(notebook):
    notebook.script("draft")
    notebook.run(DRAFT, who="ada")
    folder = Path(notebook.session.settings.history_dir)
    file = folder / "checkpoints.sqlite"
    assert file.stat().st_mode & 0o077 == 0
    notebook.session.close()
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_run_that_cannot_wait_opens_no_checkpoints(notebook):
    notebook.script("one")
    notebook.run("%%chain\na\n    A\n")
    assert not (Path(notebook.session.settings.history_dir) / "checkpoints.sqlite").exists()


def test_without_its_checkpoint_a_waiting_run_is_resumed_from_its_record(notebook):
    notebook.script("draft", "sent")
    first = notebook.run(DRAFT, who="ada")
    folder = Path(notebook.session.settings.history_dir)
    notebook.session.close()
    for file in folder.glob("checkpoints.sqlite*"):
        file.unlink()
    with restarted(notebook) as session:
        run = session.lookup.run(first.id)
        assert run.status == "cancelled"
        run.resume()
        assert (run.status, run.waiting.value) == ("waiting", "draft")
        assert run.approve().output == "sent"
    assert notebook.prompts == ["Draft for ada", "Sent draft"]


def test_a_file_that_is_no_database_is_one_clear_line(notebook):
    folder = Path(notebook.session.settings.history_dir)
    folder.mkdir(parents=True)
    (folder / "checkpoints.sqlite").write_text("no database " * 1000)
    notebook.script("draft")
    with pytest.raises(SettingsError) as caught:
        notebook.run(DRAFT, who="ada")
    assert "checkpoints.sqlite" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["postgresql://me:s3cret@127.0.0.1:1/none", "postgres://me:s3cret@127.0.0.1:1/none?connect_timeout=1",
     "postgresql://me:s3cret@127.0.0.1:port/none", "mysql://me:s3cret@here/none", "postgresql://me:s3cret@[::1/none",
     "postgresql://127.0.0.1:1/none?password=s3cret"],
)  # fmt: skip
def test_a_wrong_url_is_one_clear_line_without_the_password(notebook, url):
    pytest.importorskip("psycopg")
    notebook.script("draft")
    use(notebook, url)
    with pytest.raises(OrchError) as caught:
        notebook.run(DRAFT, who="ada")
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "checkpoints" in str(caught.value)
    assert notebook.prompts == []
    assert notebook.session.services.history.store.runs() == []


class Postgres:
    """A server of its own, in a folder, on a free port of this machine; run by a user who is not root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        folder.chmod(0o777)  # its user is another one
        self._as_postgres(f"{TOOLS[-1]}/initdb -D {self.folder} -A trust -U postgres")
        self._as_postgres(
            f"{TOOLS[-1]}/pg_ctl -D {self.folder} -w -l {folder}/log "
            f"-o '-p {self.port} -c listen_addresses=127.0.0.1 -k {folder}' start"
        )
        self.url = f"postgresql://postgres:s3cret@127.0.0.1:{self.port}/postgres"

    def stop(self) -> None:
        self._as_postgres(f"{TOOLS[-1]}/pg_ctl -D {self.folder} -m immediate stop")

    def _as_postgres(self, command: str) -> None:
        become = ["su", "postgres", "-c", command] if getpass.getuser() == "root" else ["sh", "-c", command]
        subprocess.run(become, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")


@pytest.fixture(scope="module")
def postgres():
    pytest.importorskip("psycopg")
    pytest.importorskip("langgraph.checkpoint.postgres")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        yield server
        server.stop()


@pytest.mark.slow
@needs_postgres
def test_a_run_that_waits_in_postgres_is_answered_by_another_kernel(notebook, postgres):
    use(notebook, postgres.url)
    notebook.script("draft", "sent")
    first = notebook.run(DRAFT, who="ada")
    assert first.status == "waiting", first.error
    assert not (Path(notebook.session.settings.history_dir) / "checkpoints.sqlite").exists()
    notebook.session.close()
    with restarted(notebook) as session:
        run = session.lookup.run(first.id)
        assert (run.status, run.waiting.value) == ("waiting", "draft")
        assert run.edit("other").output == "sent"
    assert notebook.prompts == ["Draft for ada", "Sent other"]


@pytest.mark.slow
@needs_postgres
def test_two_kernels_wait_in_one_postgres(notebook, postgres):
    use(notebook, postgres.url)
    notebook.script(lambda body: f"<{body['messages'][-1]['content']}>")
    first = notebook.run(DRAFT, who="ada")
    with restarted(notebook, DRAFT, who="bob") as session:
        second = session.defined["careful"]()
        assert (first.status, second.status) == ("waiting", "waiting")
        assert second.approve().output == "<Sent <Draft for bob>>"
    assert first.approve().output == "<Sent <Draft for ada>>"


@pytest.mark.slow
@needs_postgres
def test_a_database_that_is_not_there_is_one_clear_line(notebook, postgres):
    use(notebook, postgres.url.replace("/postgres", "/nowhere").replace("//nowhere", "//postgres"))
    notebook.script("draft")
    with pytest.raises(SettingsError) as caught:
        notebook.run(DRAFT, who="ada")
    assert "nowhere" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)
