"""What all runs of a kernel spend together: a budget above that of each run, and one for each name between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from orchmagic.core.money import SpendLimit

if TYPE_CHECKING:
    from orchmagic.models.budget import SharedBudget


class KernelBudget:
    """`setting` is the limit of the settings; what was said last holds, there or by `limit`."""

    def __init__(self, setting: Callable[[], SpendLimit]) -> None:
        self._setting = setting
        self._followed: SpendLimit | None = None
        self._whole: SharedBudget | None = None
        self._names: dict[str, SharedBudget] = {}

    @property
    def whole(self) -> SharedBudget:
        """The budget of the kernel; its limits are those of now."""
        if self._whole is None:
            from orchmagic.models.budget import SharedBudget  # noqa: PLC0415 - first run

            self._whole = SharedBudget()
        now = self._setting()
        if now != self._followed:
            self._followed = now
            self._whole.money, self._whole.max_tokens = now.money, now.tokens
        return self._whole

    @property
    def allowance(self) -> SpendLimit:
        """The limit as it is."""
        return SpendLimit(self.whole.money, self.whole.max_tokens)

    @property
    def names(self) -> Mapping[str, SharedBudget]:
        """What the runs of each name spent."""
        return self._names

    def of(self, name: str) -> SharedBudget:
        """The budget above that of a run called `name`."""
        whole = self.whole
        if name not in self._names:
            self._names[name] = type(whole)(whole)
        return self._names[name]

    def limit(self, allowance: SpendLimit) -> None:
        """Set the side that it has, money or tokens; the other stays. Without any: no limit."""
        whole = self.whole
        if allowance == SpendLimit():
            whole.money = whole.max_tokens = None
            return
        whole.money = whole.money if allowance.money is None else allowance.money
        whole.max_tokens = whole.max_tokens if allowance.tokens is None else allowance.tokens
