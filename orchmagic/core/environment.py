"""Who runs something, and in which notebook."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping


def user() -> str:
    """The name of the account; empty where there is none, as in many containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no such user in the system's list
        return ""


def notebook(namespace: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> str:
    """The notebook's file, as far as its front end tells; empty in a terminal or a script.

    VS Code writes it into the notebook, Jupyter's server gives it to the kernel (and ipykernel to the notebook).
    """
    told = (namespace.get("__vsc_ipynb_file__"), namespace.get("__session__"), environ.get("JPY_SESSION_NAME"))
    return next((name for name in told if isinstance(name, str) and name), "")
