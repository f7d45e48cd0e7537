"""Whether the bundle was built from these sources: `python fresh.py` compares, `--write` (after a build) notes it.

The bundle's own bytes depend on the folder it was built in, so the sources are hashed, not the bundle.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NOTE = HERE.parent / "orchmagic" / "labextension" / "sources.sha256"


def sources() -> str:
    """The hash of all that the bundle is made of."""
    files = [*HERE.glob("src/**/*.ts"), *HERE.glob("style/**/*")]
    files += [HERE / name for name in ("package.json", "package-lock.json", "tsconfig.json")]
    found = hashlib.sha256()
    for file in sorted(f for f in files if f.is_file()):
        found.update(file.relative_to(HERE).as_posix().encode() + b"\0" + file.read_bytes().replace(b"\r\n", b"\n"))
    return found.hexdigest()


if __name__ == "__main__":
    if "--write" in sys.argv:
        NOTE.write_text(sources() + "\n")
    elif not NOTE.exists() or NOTE.read_text().strip() != sources():
        sys.exit("orchmagic/labextension was built from other sources: run `make labextension`")
