"""The working folder of a kernel may be deleted or renamed while it runs."""

import importlib
import os
import pkgutil
import shutil
import sys
from pathlib import Path

import pytest

from orchmagic import Script, Session, install
from orchmagic.core import process
from orchmagic.errors import SettingsError
from orchmagic.models.providers.scripted import remove
from orchmagic.trace.audit import Audit


@pytest.fixture(params=["deleted", "renamed"])
def gone(request, tmp_path, monkeypatch):
    """The folder above a working folder that was deleted or renamed."""
    folder = tmp_path / "project" / "notebooks"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.path_importer_cache, "", raising=False)
    if request.param == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "project" / "other")
    yield folder.parent
    os.chdir(tmp_path)
    sys.path_importer_cache.pop("", None)


def test_the_folder_has_its_path_and_settings_come_from_the_project_around_it(gone):
    try:
        expected = Path.cwd()  # a renamed folder keeps working where the system follows it
    except FileNotFoundError:
        expected = gone / "notebooks"
    assert process.folder() == expected
    (gone / "pyproject.toml").write_text("[tool.orchmagic]\nretry = 7\n")
    session = Session({}, environ={})
    try:
        assert session.settings.retry == 7
    finally:
        session.close()


def test_cells_run_and_packages_are_imported(gone, monkeypatch):
    install(Script(lambda _: "ok"))
    monkeypatch.syspath_prepend("")
    session = Session({}, environ={"ORCHMAGIC_MODEL": "scripted"})
    try:
        assert session.define("chain", "--no-cache", "say\n    hi\n")().output == "ok"
        assert pkgutil.extend_path(["x"], "nowhere") == ["x"]
        assert importlib.import_module("json").loads("1") == 1
    finally:
        session.close()
        remove()


@pytest.mark.parametrize("gone", ["deleted"], indirect=True)
def test_an_audit_log_beside_it_is_refused_in_one_line(gone):
    with pytest.raises(SettingsError, match="which was deleted: %cd to one that exists"):
        Audit(Path("audit.jsonl"), str)
