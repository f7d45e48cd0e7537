"""A directory of models for a pipeline without a session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchmagic.models.types import Deployment, Pool


@dataclass
class ModelTable:
    """Looks models up by functions; `provider` may also be the one provider of all."""

    deployment: Callable[[str], Deployment]
    provider: Callable[[str], Any]
    pool: Callable[[str], Pool | None] = lambda _: None
    advice: str = "set input_price and output_price, US dollars per million tokens"

    def price_advice(self, _: Deployment) -> str:
        return self.advice
