"""Parses the magic line, `%%chain triage --model small --budget 0.01`, into `RunOptions`.

Words are split as a shell splits them, without expansion; each word keeps its column. argparse is not used: it stops
at the first error and has no columns, while a CellError lists all problems, each with a caret.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from orchmagic.core.limits import OPEN, Open
from orchmagic.core.money import dollars
from orchmagic.core.validators import CachePolicy, cache_policy, number, seconds, text, whole_number, words
from orchmagic.errors import CellError, Problem, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchmagic.language.step_options import StepOption

Kind: TypeAlias = Literal["flag", "text", "words", "int", "float", "seconds", "keep", "money"]

# An open quote runs to the end of the line.
_PART = re.compile(
    r""""(?P<double>(?:[^"\\]|\\.)*)"|'(?P<single>[^']*)'|(?P<open>["'].*)|(?P<bare>[^\s"']+)""", re.DOTALL
)
_WORD = re.compile(rf"(?:{re.sub(r'[?]P<[a-z]+>', '?:', _PART.pattern)})+", re.DOTALL)
_METAVARS: Mapping[Kind, str] = {
    "flag": "", "text": "TEXT", "words": "A,B", "int": "N", "float": "X",
    "seconds": "TIME", "keep": "TIME|semantic|off", "money": "USD",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Option:
    """One option of the magic line. `least` is the minimum of a number; `short` is a second spelling (`-i`).

    `may_be_open`: the option also takes "none", for no limit.
    """

    flag: str
    kind: Kind
    help: str
    metavar: str = ""
    short: str = ""
    least: float = 0
    may_be_open: bool = False

    @property
    def key(self) -> str:
        """`--max-steps` -> `max_steps`."""
        return self.flag.lstrip("-").replace("-", "_")

    @property
    def shown(self) -> str:
        """`-o, --result NAME`."""
        spelling = f"{self.short}, {self.flag}" if self.short else self.flag
        return f"{spelling} {self.metavar or _METAVARS[self.kind]}".rstrip()


BASE: tuple[Option, ...] = (
    Option("--inputs", "words", "the pattern's inputs (default: its free names)", "A,B", "-i"),
    Option("--model", "text", "model or alias of every step that names none", "MODEL"),
    Option("--fallback", "words", "models to try when that one fails", "MODEL,…"),
    Option("--retry", "int", "how often a failed call, or a reply that does not fit its output, is tried again"),
    Option("--timeout", "seconds", "of one model call: 30s, 2m; none for no limit", may_be_open=True),
    Option("--deadline", "seconds", "of the whole run: 90s, 10m; none for no limit", may_be_open=True),
    Option("--budget", "money", "most that the run may cost, in US dollars: 0.01, or none", may_be_open=True),
    Option("--max-tokens", "int", "most tokens of the whole run, or none", least=1, may_be_open=True),
    Option("--max-steps", "int", "most steps of the whole run", least=1),
    Option("--max-iterations", "int", "most rounds of a loop", least=1),
    Option("--concurrency", "int", "most items of a step with over= at once", least=1),
    Option("--thread", "text", "go on with this conversation: its earlier turns are sent along", "NAME"),
    Option("--thread-tokens", "int", "most tokens of earlier turns that are sent, or none", least=1, may_be_open=True),
    Option("--thread-summary", "flag", "send a summary of the turns that --thread-tokens leaves out"),
    Option(
        "--cache",
        "keep",
        "how long an answer may be reused: 10s to 365d; semantic: for the same question in other words, too; off",
    ),
    Option("--no-cache", "flag", "neither read nor store answers"),
    Option("--refresh", "flag", "ask again, and store the new answers"),
    Option("--batch", "flag", "send calls through the Batch API of their endpoint: half the price, up to 24 h"),
    Option("--guard", "words", "what is not to pass: secrets=block,pii=redact,injection=warn, or off", "RULE,…"),
    Option("--dry-run", "flag", "estimate calls and cost; call no model"),
    Option("--no-run", "flag", "define the pattern without running it"),
    Option("--background", "flag", "return at once and run on"),
    Option("--over", "text", "run on each row of a table: a variable, or the path of a file", "ROWS"),
    Option("--result", "text", "the variable that takes the run's output", "NAME", "-o"),
)


class HelpRequested(Exception):
    """The line contains `--help` or `-h`; `text` is the help to show."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The parsed magic line. None: not given; "none": no limit.

    Times are in seconds, `budget` in US dollars, `max_tokens` counts the whole run, `cache` is the cache policy of
    answers. `light` is the model of steps that only classify, `rounds` a `max_iterations` that
    was set on the line or in the settings. `extra` holds the pattern's own options that were
    given, by key (`min_confidence`).
    """

    name: str | None = None
    inputs: tuple[str, ...] | None = None
    model: str | None = None
    light: str | None = None
    rounds: int | None = None
    fallback: tuple[str, ...] = ()
    retry: int | None = None
    timeout: float | Open | None = None
    deadline: float | Open | None = None
    budget: float | Open | None = None
    max_tokens: int | Open | None = None
    max_steps: int | None = None
    max_iterations: int | None = None
    concurrency: int | None = None
    thread: str | None = None
    thread_tokens: int | Open | None = None
    thread_summary: bool = False
    cache: CachePolicy | None = None
    no_cache: bool = False
    refresh: bool = False
    batch: bool = False
    guard: tuple[str, ...] = ()
    dry_run: bool = False
    no_run: bool = False
    background: bool = False
    over: str | None = None
    result: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    column: int
    quoted: bool


def parse_options(magic: str, line: str, own: Sequence[Option] = ()) -> RunOptions:
    """Parses the magic line; `own` are the pattern's options in addition to BASE.

    Raises:
        CellError: with all problems of the line.
        HelpRequested: the line contains `--help` or `-h`.
    """
    reader = _OptionReader(magic, line, _table(own))
    tokens = reader.tokens()
    if any(token.text in {"-h", "--help"} and not token.quoted for token in tokens):
        raise HelpRequested(usage(magic, own))
    found = reader.read(tokens)
    if reader.problems:
        raise CellError(reader.problems)
    extra = {option.key: found.pop(option.key) for option in own if option.key in found}
    return RunOptions(**found, extra=extra)


def parse_names(
    magic: str, line: str, options: Sequence[Option], *, dotted: bool = False
) -> tuple[list[str], dict[str, Any]]:
    """Parses a line of names with commas between them, and options after them: `triage, fast --on rows`.

    Returns the names, and the options' values by key; `help` is True if the line contains `--help` or `-h`. `dotted`:
    a name may be that of a step, `triage.extract`.

    Raises:
        CellError: with all problems of the line.
    """
    start = re.search(r"(?<!\S)-", line)
    head = line[: start.start()] if start else line
    reader = _OptionReader(
        magic, " " * len(head) + line[len(head) :], {s: o for o in options for s in (o.flag, o.short) if s}
    )
    reader.quotes(line)
    tokens = reader.tokens()
    if any(token.text in {"-h", "--help"} and not token.quoted for token in tokens):
        return [], {"help": True}
    names = [name.strip() for name in head.split(",") if name.strip()]
    for name in names:
        reader.check_name(name, line.index(name), dotted=dotted)
    found = reader.read(tokens)
    if reader.problems:
        raise CellError(reader.problems)
    return names, found


def base_options(own: Sequence[Option]) -> tuple[Option, ...]:
    """The options of every pattern, without `--over` where that is an option of the pattern's own (`%%mapreduce`)."""
    return tuple(o for o in BASE if o.key != "over" or all(o.flag != option.flag for option in own))


def _table(own: Sequence[Option]) -> dict[str, Option]:
    """Maps each spelling to its option; ValueError if a pattern's option repeats one of BASE."""
    table: dict[str, Option] = {}
    taken = {field.name for field in fields(RunOptions)} - {option.key for option in BASE}
    for option in (*base_options(own), *own):
        for spelling in filter(None, (option.flag, option.short)):
            if spelling in table or option.key in taken:
                raise ValueError(f"option {spelling} of the pattern is already one of the magic line")
            table[spelling] = option
    return table


class _OptionReader:
    """Reads one magic line and collects its problems."""

    def __init__(self, magic: str, line: str, options: Mapping[str, Option]) -> None:
        self.problems: list[Problem] = []
        self._source = f"%%{magic} {line}"
        self._line = line
        self._offset = len(self._source) - len(line)
        self._options = options
        self._flags = [flag for flag, option in options.items() if option.kind == "flag"]

    def quotes(self, line: str) -> None:
        """Sets the line that problems quote, if it is not the line that is read."""
        self._source = self._source[: self._offset] + line

    def check_name(self, name: str, column: int, *, dotted: bool) -> None:
        """Notes a problem if `name` cannot be the name of an orchestration, or, `dotted`, of a step of one."""
        parts = name.split(".", 1) if dotted else [name]
        if not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
            what, write = ("an orchestration", "Write names with commas between them: a, b")
            if dotted:
                what, write = (f"{what} or a step", "Write triage, or triage.extract for one step")
            self._problem(column, f"{name!r} is no name of {what}", write)

    def tokens(self) -> list[_Token]:
        """Splits the line into words without their quotes."""
        found = []
        for match in _WORD.finditer(self._line):
            word, closed = _unquoted(match.group())
            if not closed:
                self._problem(match.start(), "a quote is not closed", "Write the second quote")
            found.append(_Token(word, match.start(), match.group()[0] in "\"'"))
        return found

    def read(self, tokens: list[_Token]) -> dict[str, Any]:
        """Returns the options' values by key; the name of the orchestration has the key "name"."""
        found: dict[str, Any] = {}
        rest = list(reversed(tokens))
        while rest:
            token = rest.pop()
            if token.quoted or not token.text.startswith("-"):
                self._read_name(token, found)
                continue
            flag, equals, given = token.text.partition("=")
            option = self._options.get(flag)
            if option is None:
                self._unknown(token, flag)
                takes_value = nearest(flag, self._options) != nearest(flag, self._flags)
                if takes_value and not equals and rest and not self._is_option(rest[-1]):
                    rest.pop()  # the value of the misspelt option
                continue
            if option.key in found:
                self._problem(token.column, f"{flag} is given twice", "Write it once")
            value = _Token(given, token.column + len(flag) + 1, quoted=True) if equals else None
            found[option.key] = self._value(option, token, value, rest)
        return found

    def _read_name(self, token: _Token, found: dict[str, object]) -> None:
        if "name" in found:
            write = "Write a value after its option, in quotes if it has spaces: --model large"
            self._problem(token.column, f"{token.text!r} belongs to no option", write)
        elif not token.text.isidentifier() or keyword.iskeyword(token.text):
            better = re.sub(r"\W", "_", token.text).strip("_")
            write = f"Write a Python name: {better}" if better.isidentifier() else "Write a Python name"
            self._problem(token.column, f"{token.text!r} cannot be the pattern's name", write)
        found.setdefault("name", token.text)

    def _unknown(self, token: _Token, flag: str) -> None:
        close = nearest(flag, self._options)
        self._problem(token.column, f"no option {flag}", f"See --help for all options{close}")

    def _value(self, option: Option, token: _Token, given: _Token | None, rest: list[_Token]) -> object:
        if option.kind == "flag":
            if given is not None:
                self._problem(given.column, f"{option.flag} takes no value", f"Write {option.flag}")
            return True
        if given is None and rest and not self._is_option(rest[-1]):
            given = rest.pop()
        if given is None or not given.text.strip():
            self._problem(token.column, f"{option.flag} needs a value", f"Write {option.shown}")
            return None
        written = given.text
        while option.kind == "words" and written.endswith(",") and rest and not self._is_option(rest[-1]):
            written += rest.pop().text
        try:
            return _read(option, written)
        except ValueError as error:
            self._problem(given.column, f"{option.flag} cannot be {written!r}", f"Write {error}")
            return None

    def _is_option(self, token: _Token) -> bool:
        known = token.text.partition("=")[0] in self._options
        return not token.quoted and (known or token.text.startswith("--"))

    def _problem(self, column: int, found: str, write: str) -> None:
        self.problems.append(Problem(1, self._offset + column, found, write, self._source))


def _unquoted(word: str) -> tuple[str, bool]:
    """Returns the word without quotes, and whether all quotes are closed. A backslash escapes only inside "…"."""
    found = ""
    closed = True
    for part in _PART.finditer(word):
        double, single, bare = part.group("double", "single", "bare")
        closed = closed and part.group("open") is None
        found += re.sub(r'\\(["\\])', r"\1", double) if double is not None else single or bare or ""
    return found, closed


_READERS: Mapping[Kind, Callable[[str], object]] = {
    "text": text,
    "words": words,
    "float": number,
    "seconds": seconds,
    "keep": cache_policy,
    "money": dollars,
}


def _read(option: Option, written: str) -> object:
    """Converts the written text to the option's value; the text of a ValueError says what to write."""
    if option.may_be_open and written == OPEN:
        return OPEN
    found = whole_number(int(option.least))(written) if option.kind == "int" else _READERS[option.kind](written)
    if option.kind == "float" and float(str(found)) < option.least:
        raise ValueError(f"{option.least:g} or more")
    if found == ():
        raise ValueError("names with commas between them: a,b")
    return found


def usage(magic: str, own: Sequence[Option] = (), steps: Sequence[StepOption] = ()) -> str:
    """Returns the text that `--help` shows."""
    tables = {
        f"Options of %%{magic}": [(o.shown, o.help) for o in own],
        "Options of every pattern": [(o.shown, o.help) for o in base_options(own)],
        "Options of a step, as in extract(model=small, retry=2)": [(f"{o.name}={o.example}", o.help) for o in steps],
    }
    width = max(len(shown) for rows in tables.values() for shown, _ in rows)
    lines = [f"%%{magic} [NAME] [OPTIONS]"]
    for title, rows in tables.items():
        lines += ["", title] if rows else []
        lines += [f"  {shown:<{width}}  {text}" for shown, text in rows]
    return "\n".join(lines)
