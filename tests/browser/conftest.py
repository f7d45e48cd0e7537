"""A real JupyterLab on loopback and a real Chromium that looks at it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Page, sync_playwright

SHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
BUNDLE = Path(__file__).resolve().parents[2] / "orchmagic" / "labextension"
QUIET = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

FONTS = {"dejavu": ("DejaVu Sans", "DejaVu Sans Mono"), "liberation": ("Liberation Sans", "Liberation Mono")}
"""Font families that the pictures are tested with, a wide and a narrow one; `.ci/need` installs both."""

FONTS["wider"] = FONTS["dejavu"]
WIDER = "<style>text { letter-spacing: .085em }</style>"
"""Makes DejaVu Sans 14 % wider than it is: no common font is as wide."""

# What a page asks for is answered with the family, so that Chromium drops named fonts and the generic ones are the family.
FONTCONFIG = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <match target="pattern">
    <test name="family" qual="all" compare="not_eq"><string>monospace</string></test>
    <edit name="family" mode="prepend_first" binding="strong"><string>{sans}</string></edit>
  </match>
  <match target="pattern">
    <test name="family"><string>monospace</string></test>
    <edit name="family" mode="prepend_first" binding="strong"><string>{monospace}</string></edit>
  </match>
</fontconfig>
"""


NO_BUILD = {"page_config_data": {"buildAvailable": False, "buildCheck": False}}  # it takes a second for each page
"""Settings of a server that does not look whether JupyterLab should be built again."""


class Lab:
    """A server (JupyterLab, or `app` "notebook") with a folder of notebooks, and our extension as a wheel installs it."""

    def __init__(self, home: Path, app: str = "lab") -> None:
        self.home = home
        self.root = home / "root"
        self.root.mkdir()
        self.token = secrets.token_hex(16)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self._settings(QUIET)
        extensions = home / "data" / "labextensions"
        extensions.mkdir(parents=True)
        (extensions / "orchmagic").symlink_to(BUNDLE, target_is_directory=True)
        module, name = {"lab": ("jupyterlab", "LabApp"), "notebook": ("notebook", "JupyterNotebookApp")}[app]
        self.log = (home / "lab.log").open("wb")
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", module, "--no-browser", "--allow-root", "--ip=127.0.0.1",
                f"--port={self.port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={self.token}",
                f"--ServerApp.root_dir={self.root}", f"--{name}.expose_app_in_browser=True", "--LabApp.news_url=",
                f"--ServerApp.tornado_settings={NO_BUILD!r}",
            ],
            env=self._environment(),
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )  # fmt: skip

    def _environment(self) -> dict[str, str]:
        own = {f"JUPYTER_{name}_DIR": str(self.home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")} | {
            "JUPYTER_PREFER_ENV_PATH": "0",  # our folder of extensions comes before that of the environment
            "IPYTHONDIR": str(self.home / "ipython"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "ORCHMAGIC_CACHE_DIR": str(self.home / "cache"),
            "ORCHMAGIC_HISTORY_DIR": str(self.home / "history"),
        }
        return {**os.environ, **own, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def _settings(self, settings: dict[str, Any]) -> None:
        for plugin, values in settings.items():
            package, name = plugin.split(":")
            file = self.home / "settings" / package / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))

    def wait(self) -> None:
        until = time.monotonic() + 180  # seconds: a busy machine takes more than a minute
        while time.monotonic() < until:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api?token={self.token}", timeout=2).close()
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, (self.home / "lab.log").read_text()
            else:
                return
        raise AssertionError((self.home / "lab.log").read_text())

    def write(self, name: str, cells: list[str]) -> None:
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        book = nbformat.v4.new_notebook(metadata={"kernelspec": kernel, "language_info": {"name": "python"}})
        book.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(book, self.root / name)

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    server = Lab(tmp_path_factory.mktemp("lab"))
    try:
        server.wait()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def notebook7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    server = Lab(tmp_path_factory.mktemp("notebook7"), "notebook")
    try:
        server.wait()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")  # playwright keeps an event loop running: it must not outlive the browser's tests
def launch() -> Iterator[Callable[..., Any]]:
    """`launch(NAME=value)` starts a Chromium with these environment variables."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "Chromium is missing: apt-get install chromium"
    with sync_playwright() as playwright:

        def start(**environment: str) -> Any:
            env: dict[str, Any] = {**os.environ, **environment}
            return playwright.chromium.launch(executable_path=path, args=FLAGS, env=env)

        yield start


@pytest.fixture(scope="module")
def chromium(launch: Callable[..., Any]) -> Iterator[Any]:
    browser = launch()
    yield browser
    browser.close()


def in_a_font(launch: Callable[..., Any], name: str, folder: Path) -> Any:
    """A browser that sets all text in the family `name` of `FONTS`."""
    sans, monospace = FONTS[name]
    file = folder / f"{name}.conf"
    file.write_text(FONTCONFIG.format(sans=sans, monospace=monospace))
    browser = launch(FONTCONFIG_FILE=str(file))
    browser.family = name
    return browser


@pytest.fixture(scope="module", params=list(FONTS))
def chromium_in_a_font(
    request: pytest.FixtureRequest, launch: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """Chromium once for each family of `FONTS`; `browser.family` is its name."""
    browser = in_a_font(launch, request.param, tmp_path_factory.mktemp("fonts"))
    yield browser
    browser.close()


class Notebook:
    """An open notebook. Cells are numbered from 0."""

    def __init__(self, page: Page, lab: Lab, name: str) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("pageerror", lambda e: self.problems.append(str(e)))
        page.on("dialog", lambda d: (self.problems.append(f"dialog {d.message}"), d.dismiss()))
        page.goto(f"http://127.0.0.1:{lab.port}/lab/tree/{name}?token={lab.token}&reset")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        self._until("w => w.context.sessionContext.session?.kernel?.status === 'idle'", 60)

    def _until(self, predicate: str, seconds: float, argument: Any = None) -> None:
        script = f"a => {{ const w = window.jupyterapp?.shell.currentWidget; return !!w && ({predicate})(w, a); }}"
        self.page.wait_for_function(script, arg=argument, timeout=seconds * 1000)

    def start(self, index: int) -> None:
        script = "i => { const w = window.jupyterapp.shell.currentWidget; w.content.activeCellIndex = i; w.content.deselectAll(); }"
        self.page.evaluate(script, index)
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell'); }")

    def finish(self, index: int, seconds: float = 60) -> None:
        done = "(w, i) => { const m = w.content.widgets[i].model; return m.executionState === 'idle' && m.executionCount !== null; }"
        self._until(done, seconds, index)

    def run(self, index: int, seconds: float = 60) -> None:
        self.start(index)
        self.finish(index, seconds)

    def interrupt(self) -> None:
        self.page.evaluate("() => { window.jupyterapp.commands.execute('notebook:interrupt-kernel'); }")

    def output(self, index: int) -> Any:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index).locator(".jp-Cell-outputArea")

    def theme(self, name: str) -> None:
        self.page.evaluate("n => window.jupyterapp.commands.execute('apputils:change-theme', {theme: n})", name)

    def shot(self, name: str) -> Path:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(SHOTS / f"{name}.png"))
        return SHOTS / f"{name}.png"


@pytest.fixture
def notebook(lab: Lab, chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """`notebook([cells])` opens a new notebook."""
    context = chromium.new_context(viewport={"width": 1100, "height": 1000})

    def make(cells: list[str]) -> Notebook:
        name = f"{request.node.name.replace('[', '-').replace(']', '')}.ipynb"
        lab.write(name, cells)
        return Notebook(context.new_page(), lab, name)

    yield make
    context.close()
