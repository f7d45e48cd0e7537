"""Where the folder of the history cannot be written, runs go on in memory, and people can be asked all the same."""

import sqlite3
import warnings

import pytest

from orchmagic import Reply
from orchmagic.errors import SettingsError
from orchmagic.storage import checkpoints
from orchmagic.storage.sqlite_files import StoreWarning

CELLS = {
    "approve": '%%chain t --no-cache\nd\n    D\napprove "ok?"\n',
    "else ask": '%%chain t --no-cache\nd\n    D\ngate False else ask "what?"\n',
    "--approve": "%%react t --no-cache --tools f --approve f\nGo\n",
    "a person as handler": '%%route t --no-cache\nrouter = \'human\'\none: x\n    A\nhuman(ask="please"): y\n',
    "a nested approve": "%%chain t --no-cache\nx = asking()\n",
}  # fmt: skip


def f(x: int = 1) -> str:
    """F."""
    return "r"


def below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "state"


@pytest.fixture(params=["no such file system", "below a file", "full"])
def unwritable(request, notebook, tmp_path, monkeypatch):
    """A notebook whose folder of the history cannot be written."""
    folder = {"no such file system": "/proc/nope/state", "below a file": below_a_file(tmp_path)}
    notebook.session.services.environ["ORCHMAGIC_HISTORY_DIR"] = str(folder.get(request.param, tmp_path / "full"))
    if request.param == "full":

        def held(file):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        monkeypatch.setattr(checkpoints, "_held", held)
    notebook.space["f"] = f
    notebook.script(lambda body: Reply(tool_calls=[("f", {"x": 1})]) if body.get("tools") else "fine")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        asking = notebook.define('%%chain asking\nd\n    D\napprove "ok?"\n')
    notebook.space["asking"] = asking
    return notebook


@pytest.mark.parametrize("kind", CELLS)
def test_a_person_is_asked_and_answers(unwritable, kind):
    with pytest.warns(StoreWarning, match="cannot be (used|written)") as told:
        run = unwritable.run(CELLS[kind])
    assert run.status == "waiting"
    assert not [w for w in told if "move the file away" in str(w.message)]
    assert len({str(w.message) for w in told}) == len(told)  # each once
    unwritable.script(lambda _: "fine")
    answered = run.resume("yes") if kind in {"else ask", "a person as handler"} else run.approve()
    assert answered.status == "done", answered.error
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # not told again
        assert unwritable.run(CELLS["approve"]).status == "waiting"


def test_a_damaged_file_is_still_refused(notebook, tmp_path):
    file = tmp_path / "state" / "checkpoints.sqlite"
    file.parent.mkdir()
    file.write_bytes(b"no database" * 100)
    notebook.session.services.environ["ORCHMAGIC_HISTORY_DIR"] = str(file.parent)
    with pytest.raises(SettingsError, match="move the file away"):
        notebook.run(CELLS["approve"])
    assert file.read_bytes() == b"no database" * 100
