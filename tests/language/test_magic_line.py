"""The magic line: values, units, all problems at once with their columns."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchmagic.core.validators import CachePolicy, cache_policy, seconds
from orchmagic.errors import CellError, Problem
from orchmagic.language.magic_line import BASE, HelpRequested, Option, RunOptions, parse_options, usage

PATIENT = settings(deadline=None)  # the first example pays for the imports

OWN = (
    Option("--tools", "words", "notebook functions"),
    Option("--min-confidence", "float", "below it another takes over", "P"),
    Option("--returns", "text", "type of the answer"),
)


def problems(line: str) -> tuple[Problem, ...]:
    with pytest.raises(CellError) as caught:
        parse_options("react", line, OWN)
    return caught.value.problems


def test_an_empty_line_says_nothing() -> None:
    assert parse_options("chain", "") == RunOptions()


def test_every_option_is_read() -> None:
    line = (
        "triage -i a,b --model openai/gpt-4o --fallback x,y --retry 2 --timeout 30s --deadline 2m --budget $0.01 "
        "--max-tokens 500 --max-steps 9 --max-iterations 3 --cache 1d --no-cache --refresh --dry-run --no-run "
        "--background -o answer"
    )
    assert parse_options("chain", line) == RunOptions(
        name="triage",
        inputs=("a", "b"),
        model="openai/gpt-4o",
        fallback=("x", "y"),
        retry=2,
        timeout=30.0,
        deadline=120.0,
        budget=0.01,
        max_tokens=500,
        max_steps=9,
        max_iterations=3,
        cache=CachePolicy(ttl=86400.0),
        no_cache=True,
        refresh=True,
        dry_run=True,
        no_run=True,
        background=True,
        result="answer",
    )


def test_the_table_and_the_record_name_the_same_options() -> None:
    fields = set(RunOptions.__dataclass_fields__) - {"name", "light", "rounds", "extra"}
    assert {option.key for option in BASE} == fields


def test_a_pattern_adds_its_own_options() -> None:
    line = 'orders --tools find_order, refund --min-confidence=0.7 --returns "answer: str, ids: list[str]"'
    assert parse_options("react", line, OWN).extra == {
        "tools": ("find_order", "refund"),
        "min_confidence": 0.7,
        "returns": "answer: str, ids: list[str]",
    }


def test_a_pattern_cannot_take_an_option_of_the_magic_line() -> None:
    with pytest.raises(ValueError, match="--model of the pattern"):
        parse_options("chain", "", [Option("--model", "text", "mine")])
    with pytest.raises(ValueError, match="--name of the pattern"):
        parse_options("chain", "", [Option("--name", "text", "mine")])


@pytest.mark.parametrize(
    ("line", "model"),
    [
        ("--model 'a b'", "a b"),
        ('--model "a \\"b\\" c"', 'a "b" c'),
        ("--model a\"b c\"'d'", "ab cd"),
        ("--model $HOME/{x}/{{y}}", "$HOME/{x}/{{y}}"),
        (r"--model C:\models\x", r"C:\models\x"),
        ("--model=a=b", "a=b"),
        ('--model "--odd"', "--odd"),
    ],
)
def test_words_are_split_and_never_expanded(line: str, model: str) -> None:
    assert parse_options("chain", line).model == model


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("--modle x", 0, "no option --modle. See --help for all options; did you mean '--model'?"),
        ("-x", 0, "no option -x"),
        ("--model", 0, "--model needs a value. Write --model MODEL"),
        ("--model --refresh", 0, "--model needs a value"),
        ("--model ''", 0, "needs a value"),
        ("--retry -1", 8, "--retry cannot be '-1'"),
        ("--max-steps 0", 12, "1 or more"),
        ("--max-steps 1.5", 12, "a whole number"),
        ("--min-confidence nan", 17, "a number such as 0.7"),
        ("--budget cheap", 9, "US dollars"),
        ("--timeout soon", 10, "a time"),
        ("--deadline 0s", 11, "more than no time"),
        ("--cache 5s", 8, "a time from 10s to 365d, semantic, exact, or off"),
        ("--cache 366d", 8, "a time from 10s to 365d, semantic, exact, or off"),
        ("--tools ,", 8, "names with commas"),
        ("--dry-run=yes", 10, "--dry-run takes no value"),
        ("--model a --model b", 10, "--model is given twice"),
        ("one two", 4, "'two' belongs to no option"),
        ("my-chain", 0, "'my-chain' cannot be the pattern's name. Write a Python name: my_chain"),
        ("class", 0, "cannot be the pattern's name"),
        ("--model 'abc", 8, "a quote is not closed"),
    ],
)
def test_a_problem_has_its_column_and_says_what_to_write(line: str, column: int, words: str) -> None:
    found = next(p for p in problems(line) if words in str(p))
    assert found.line == 1
    assert found.column == len("%%react ") + column


def test_all_problems_are_told_at_once() -> None:
    assert len(problems("--modle x 2 --retry many --cache 1s")) == 4


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("triage --budgt 0.01", "did you mean '--budget'?"),
        ("triage --budgt=0.01", "did you mean '--budget'?"),
        ("--modle large triage", "did you mean '--model'?"),
        ("--no-rn triage", "did you mean '--no-run'?"),  # a flag takes no value: triage is the name
    ],
)
def test_a_misspelt_option_is_one_problem(line: str, hint: str) -> None:
    (problem,) = problems(line)
    assert hint in problem.write


def test_what_follows_a_misspelt_flag_is_read() -> None:
    assert [p.found for p in problems("--no-rn my-chain")] == [
        "no option --no-rn",
        "'my-chain' cannot be the pattern's name",
    ]


@pytest.mark.parametrize("line", ["--help", "-h", "triage --model x -h --nonsense"])
def test_help_shows_the_options_of_the_pattern(line: str) -> None:
    with pytest.raises(HelpRequested) as caught:
        parse_options("react", line, OWN)
    assert caught.value.text == usage("react", OWN)
    for option in (*BASE, *OWN):
        assert option.shown in caught.value.text
        assert option.help in caught.value.text


def test_quoted_help_is_a_value() -> None:
    assert parse_options("chain", '--model "--help"').model == "--help"


def test_times_have_units() -> None:
    assert [seconds(t) for t in ("90", "90s", "2m", "1.5h", "7d")] == [90, 90, 120, 5400, 604800]
    assert (cache_policy("off"), cache_policy("10s"), cache_policy("365d")) == (
        CachePolicy("off"),
        CachePolicy(ttl=10.0),
        CachePolicy(ttl=31536000.0),
    )
    assert (cache_policy("semantic"), cache_policy("1d, semantic")) == (
        CachePolicy("semantic"),
        CachePolicy("semantic", 86400.0),
    )


@pytest.mark.parametrize(
    ("said", "base", "found"),
    [
        ("1d", "30d", CachePolicy("exact", 86400.0)),
        ("1d", "semantic,30d", CachePolicy("semantic", 86400.0)),
        ("semantic", "12h", CachePolicy("semantic", 43200.0)),
        ("exact", "semantic,12h", CachePolicy("exact", 43200.0)),
        ("off", "semantic,12h", CachePolicy("off", 43200.0)),
        ("1d", "off", CachePolicy("exact", 86400.0)),
    ],
)
def test_what_a_line_leaves_open_comes_from_the_settings(said, base, found):
    assert cache_policy(said).over(cache_policy(base)) == found


@PATIENT
@given(st.text() | st.text(alphabet="-=,'\"\\ abm"))
def test_any_line_is_read_or_refused(line: str) -> None:
    try:
        assert isinstance(parse_options("react", line, OWN), RunOptions)
    except CellError as error:
        assert all(p.line == 1 and 0 <= p.column <= len("%%react ") + len(line) for p in error.problems)  # noqa: PT017 - either outcome is right
    except HelpRequested as asked:
        assert asked.text  # noqa: PT017 - either outcome is right
