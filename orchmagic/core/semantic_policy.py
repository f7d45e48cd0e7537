"""The settings of the semantic cache: threshold, error bound, audits, verifier."""

from __future__ import annotations

from dataclasses import dataclass, fields

THRESHOLD = 0.95  # cosine; see docs/semantic-cache.md for what it serves and misses
FLOOR = 0.80  # below it no pair is used to learn: hardly any has the same meaning
AUDITS = 0.03  # share of hits for which the model is called anyway, to compare


@dataclass(frozen=True, slots=True)
class SemanticCacheConfig:
    """`threshold`: minimum cosine of a hit. `bound`: learn the threshold instead, so that at most this share of the
    hits is wrong; until there is enough data there are no hits. `audits`: share of hits for which the model is called
    anyway, to measure the error. `verifier`: alias of a model that may veto a hit. `floor`: minimum cosine considered.
    """

    threshold: float = THRESHOLD
    bound: float | None = None
    audits: float = AUDITS
    verifier: str | None = None
    floor: float = FLOOR

    def __post_init__(self) -> None:
        for name, low in (("threshold", self.floor), ("floor", 0.0), ("audits", 0.0)):
            if not low <= getattr(self, name) <= 1:
                raise ValueError(f"a number from {low} to 1 for {name}, not {getattr(self, name)}")
        if self.bound is not None and not 0 < self.bound < 1:
            raise ValueError(f"a share of wrong hits such as 0.02 for bound, not {self.bound}")


def parse(text: str) -> SemanticCacheConfig:
    """Parse `threshold=0.97,verifier=small,audits=0.05`, or `bound=0.02`; empty text gives the defaults.

    Raises:
        ValueError: the text says what to write instead.
    """
    known = {f.name for f in fields(SemanticCacheConfig)}
    values: dict[str, float | str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (part.strip() for part in item.partition("="))
        if name not in known or not value:
            raise ValueError(f"for example {_EXAMPLE}; {item!r} is no setting of the semantic cache")
        try:
            values[name] = value if name == "verifier" else float(value)
        except ValueError:
            raise ValueError(f"a number for {name}, for example {_EXAMPLE}") from None
    return SemanticCacheConfig(**values)  # type: ignore[arg-type]  # one name takes text, the others numbers


_EXAMPLE = "threshold=0.97,verifier=small or bound=0.02"
