"""Every test starts clean: no keys or settings from the machine, a home with a cache and an IPython folder of its own.

The network is blocked but for loopback (pytest-socket, see `addopts` in pyproject.toml).
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from scripted_notebook import notebook  # noqa: F401 - a fixture of every room

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ("OPENAI_", "ORCHMAGIC_")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands for the user's cache in this test."""
    for name in os.environ:
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    place = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("ORCHMAGIC_CACHE_DIR", str(place / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    monkeypatch.setenv("IPYTHONDIR", str(place / "ipython"))
    return place / "cache"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    """Seeds the draws of each test: in the first hundred nothing happens that happens once in twenty times or less.

    So no deployment is explored and no cache hit is audited by chance; tests about chance pass their own. A fixture
    would be too early: pytest-randomly seeds again between the fixtures and the test.
    """
    random.seed(34)


@pytest.fixture
def local_weights(clean_environment: Path) -> Path:
    """Weights that are joined once in this checkout (490 MB) and not once a test; all else stays separate."""
    shared = ROOT / ".cache" / "weights"
    shared.mkdir(parents=True, exist_ok=True)
    clean_environment.mkdir(parents=True, exist_ok=True)
    (clean_environment / "weights").symlink_to(shared, target_is_directory=True)
    return shared
