"""The bundle is built from the sources that lie beside it, and the trace that its tests read is the one that runs make."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import golden_trace

from orchmagic.trace.record import MIME, Record

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "orchmagic" / "labextension"
SOURCES = ROOT / "labextension"


def test_the_bundle_was_built_from_these_sources():
    run = subprocess.run([sys.executable, SOURCES / "fresh.py"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_the_guard_sees_a_changed_source(tmp_path):
    copy = tmp_path / "labextension"
    (copy / "src").mkdir(parents=True)
    (copy / "fresh.py").write_text((SOURCES / "fresh.py").read_text())
    (copy / "src" / "a.ts").write_text("1")
    (tmp_path / "orchmagic" / "labextension").mkdir(parents=True)
    subprocess.run([sys.executable, copy / "fresh.py", "--write"], check=True)
    assert subprocess.run([sys.executable, copy / "fresh.py"], check=False).returncode == 0
    (copy / "src" / "a.ts").write_text("2")
    run = subprocess.run([sys.executable, copy / "fresh.py"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "make labextension" in run.stderr


def test_the_bundle_is_all_there_and_small():
    said = json.loads((BUNDLE / "package.json").read_text())
    built = said["jupyterlab"]["_build"]
    assert (BUNDLE / built["load"]).is_file()
    assert built["extension"] == "./extension"
    assert built["mimeExtension"] == "./mimeExtension"
    *others, plotly = sorted(f.stat().st_size for f in BUNDLE.rglob("*") if f.is_file())
    assert plotly < 1_200_000  # loaded with the first bars
    assert sum(others) < 150_000


def test_no_source_makes_markup_of_a_text():
    # what a model wrote is hostile; eslint says the same where node is there
    named = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|new Function|\beval\(")
    assert [f.name for f in (SOURCES / "src").glob("*.ts") if named.search(f.read_text())] == []


def test_the_front_end_reads_the_type_that_the_views_write():
    assert f"'{MIME}'" in (SOURCES / "src" / "record.ts").read_text()


def test_a_wheel_brings_the_bundle_to_where_jupyter_looks():
    project = (ROOT / "pyproject.toml").read_text()
    assert '"orchmagic/labextension" = "share/jupyter/labextensions/orchmagic"' in project


def test_no_lock_file_names_where_a_package_came_from():
    lock = json.loads((SOURCES / "package-lock.json").read_text())
    assert [
        name for name, package in lock["packages"].items() if "resolved" in package and not package.get("link")
    ] == []


def test_the_golden_trace_is_what_a_run_makes_today():
    for file, text in zip((golden_trace.TRACE, golden_trace.LINES), golden_trace.texts(), strict=True):
        assert file.read_text(encoding="utf-8") == text, (
            "run python tests/support/golden_trace.py, and look at what changed"
        )


def test_the_golden_trace_holds_what_a_view_must_draw():
    record = Record.from_json(json.loads(golden_trace.TRACE.read_text(encoding="utf-8")))
    assert {"call", "code", "gate", "approve", "sub", "item", "vote", "ask"} <= {s.kind for s in record.spans}
    assert {"done", "failed", "skipped", "waiting", "retried"} <= {s.status for s in record.spans}
    assert "<script>" in json.dumps(record.to_json())
