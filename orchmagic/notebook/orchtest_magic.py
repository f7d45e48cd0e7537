"""`%%orchtest`: an adapter. Reads the cell, runs it, prints its gates, and fails the cell if one does not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchmagic.notebook.cell_place import place_of_cell
from orchmagic.notebook.requested_help import help_printed

if TYPE_CHECKING:
    from orchmagic.evaluation.gates import GateTable, GateTest
    from orchmagic.notebook.magics import Face

# ruff: noqa: PLC0415 - imports are local so that `%load_ext` stays fast


class OrchtestMagic:
    """The cell magic `%%orchtest`; the line `%orchtest` shows its help."""

    __name__ = "orchtest"

    def __init__(self, face: Face) -> None:
        self._face = face

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # built on demand, not when the extension loads
        from orchmagic.evaluation.orchtest_cell import help_text

        return help_text()

    def __call__(self, line: str, cell: str | None = None) -> None:
        """Runs the cell and blocks: in a terminal, in a script, and inside other magics."""
        if cell is None:
            print(self.__doc__)  # noqa: T201 - what the user asked to see
            return
        with help_printed():
            _show(self._read(line, cell).run())

    async def awaited(self, line: str, cell: str) -> None:
        """Runs the cell without blocking the kernel."""
        with help_printed():
            _show(await self._read(line, cell).arun())

    def _read(self, line: str, cell: str) -> GateTest:
        from orchmagic.evaluation.orchtest_cell import read_test

        place = place_of_cell(self._face.shell, self._face.names)
        names = self._face.names if place.names is None else place.names
        return read_test(line, cell, names, self._face.session.find)


def _show(found: GateTable) -> None:
    print(found)  # noqa: T201 - the answer to the cell
    found.check()
