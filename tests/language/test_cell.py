"""The cell language: column 0 is structure, indented lines are text, and every problem is told with its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from orchmagic.errors import CellError, Problem
from orchmagic.language.annotations import TEXT, Field, Output
from orchmagic.language.cell import Action, Cell, CodeStep, Control, Message, Step, Value, parse
from orchmagic.language.template import render

PATIENT = settings(deadline=None)  # the first example pays for the imports

TRIAGE = """\
docs = search_policies(ticket, k=3)
extract(retry=2) -> product: str, severity: "low" | "high", quote: str
    Read the support ticket. Copy `quote` word for word from it.
    Ticket: {{ ticket }}
gate extract.quote in ticket and extract.product in PRODUCTS else retry 2
reply(model=large, when=extract.severity == "high") -> str
    system: You are a calm support engineer. Policies: {{ docs }}
    user: Answer this ticket about {{ extract.product }}:
    {{ ticket }}
"""


def read(body: str) -> Cell:
    return parse("chain", "", body)


def step(body: str) -> Step:
    (item,) = read(body).items
    assert isinstance(item, Step)
    return item


def control(body: str) -> Control:
    item = read(body).items[-1]
    assert isinstance(item, Control)
    return item


def prompt(text: str) -> tuple[Message, ...]:
    return step("a\n" + "".join(f"    {line}\n" for line in text.split("\n"))).messages


def problems(body: str) -> list[Problem]:
    with pytest.raises(CellError) as caught:
        read(body)
    return list(caught.value.problems)


def test_the_example_of_the_readme_is_read_whole() -> None:
    cell = parse("chain", "triage --model small", TRIAGE)
    assert (cell.magic, cell.line, cell.body, cell.prompt) == ("chain", "triage --model small", TRIAGE, ())
    docs, extract, gate, reply = cell.items
    assert docs == CodeStep("docs", "search_policies(ticket, k=3)", 2)
    assert extract == Step(
        "extract",
        {"retry": Value("2", 14)},
        Output(
            "fields",
            fields=(Field("product", "str"), Field("severity", "Literal['low', 'high']"), Field("quote", "str")),
        ),
        None,
        (
            Message(
                "user",
                "Read the support ticket. Copy `quote` word for word from it.\nTicket: {{ ticket }}",
            ),
        ),
        3,
    )
    expression = "extract.quote in ticket and extract.product in PRODUCTS"
    assert gate == Control("gate", expression, Action("retry", 2), (), 6)
    assert isinstance(reply, Step)
    assert reply.options == {"model": Value("large", 12), "when": Value('extract.severity == "high"', 24)}
    assert reply.output == TEXT
    assert reply.messages == (
        Message("system", "You are a calm support engineer. Policies: {{ docs }}"),
        Message("user", "Answer this ticket about {{ extract.product }}:\n{{ ticket }}"),
    )


def test_a_header_may_stand_alone_or_carry_a_description() -> None:
    items = read("router\nbilling: refunds, invoices: all\ntech(model=large): errors\nend() -> bool\n").items
    assert [(i.name, i.description, i.output) for i in items if isinstance(i, Step)] == [
        ("router", None, None),
        ("billing", "refunds, invoices: all", None),
        ("tech", "errors", None),
        ("end", None, Output("value", annotation="bool")),
    ]


def test_comments_at_column_0_belong_to_nothing() -> None:
    assert step("# about\na\n    one\n# in between\n\n    two\n# end").messages == (Message("user", "one\n\ntwo"),)


def test_comments_may_end_a_line_of_structure() -> None:
    items = read('a(model=x) -> int  # why\ngate a > 1 else stop "# no"  # really\nb = f("#")  # c\nc  # d').items
    assert [type(i).__name__ for i in items] == ["Step", "Control", "CodeStep", "Step"]
    assert isinstance(items[1], Control)
    assert (items[1].expression, items[1].action) == ("a > 1", Action("stop", "# no"))
    assert isinstance(items[2], CodeStep)
    assert items[2].expression == 'f("#")'


# --- option values


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("large", "large"),
        ("gpt-4o-mini", "gpt-4o-mini"),
        ("openai/gpt-4o", "openai/gpt-4o"),
        ("qwen2.5:7b", "qwen2.5:7b"),
        ("01-ai/Yi-34B", "01-ai/Yi-34B"),
        ("'any text, (even this'", "any text, (even this"),
        ('"a=b"', "a=b"),
        ("1d", "1d"),
    ],
)
def test_names_of_models_need_no_quotes(source: str, word: str) -> None:
    assert step(f"a(model={source}, n=1)").options["model"].word == word


def test_option_values_are_read_as_their_reader_wants() -> None:
    options = step(
        "a(tools=[find, 'b c', openai/gpt-4o], n=-2.5, when=f(x, {'k': [1, 2]}) == (3), d={'a': 1},)"
    ).options
    assert options["tools"].words == ("find", "b c", "openai/gpt-4o")
    assert options["n"].literal == -2.5
    assert options["when"].expression == "f(x, {'k': [1, 2]}) == (3)"
    assert options["d"].literal == {"a": 1}
    assert Value("large").words == ("large",)
    assert Value("(a, b)").words == ("a", "b")


@pytest.mark.parametrize(
    ("source", "view", "words"),
    [
        ("3", "word", "3 is no name"),
        ("f(x)", "word", "f(x) is not a name"),
        ("large", "literal", "large is not a literal"),
        ("openai/4o", "expression", "openai/4o is no expression"),
        ("[1, 2]", "words", "1 is no name"),
    ],
)
def test_a_value_of_another_kind_says_what_to_write(source: str, view: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        getattr(Value(source), view)
    assert words in str(caught.value)


# --- prompts


@pytest.mark.parametrize(
    "text",
    [
        "# Heading\n## Sub\n- item\n\n    code = 1\n",
        '{"a": {"b": [1, 2]}}',
        "key: value\nlist:\n  - a: b\n---",
        "gate x else retry 2\nname(a=1) -> str\nx = 3",
        "```python\nf'{x} {y!r}'\n```",
        "costs $5 or ${HOME} {x} {#1} %s %%",
        "trailing spaces   \n\tand a tab\n  \nend",
        "\u2028 line \x0b\x0c separators \x85 of other kinds",
        "Answer as\nuser: no message of its own, for the first line has no role",
    ],
)
def test_text_arrives_byte_for_byte(text: str) -> None:
    (message,) = prompt(text)
    assert message == Message("user", text.rstrip("\n"))
    assert render(message.text, {}) == text.rstrip("\n")


@PATIENT
@given(st.text() | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
@example("a\n\n  {{ b }}\n \t\n{% c %}\n$5 {x} ${#y} # z")
@example("\x1c")
def test_any_text_comes_out_of_parse_and_render_byte_for_byte(text: str) -> None:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = ["|" + line + "|" for line in text.split("\n")]  # no blank line at an end, no margin of its own
    written = "\n".join(lines)
    (message,) = prompt(written.replace("{", "{{ '{' }}"))
    assert render(message.text, {}) == written


@PATIENT
@given(st.text(alphabet=" \tab{}#:\n"), st.integers(1, 8))
def test_dedenting_keeps_the_shape_of_a_prompt(text: str, width: int) -> None:
    lines = ["x", *text.split("\n"), "x"]
    assume("{" not in text)
    body = "".join(" " * width + line + "\n" for line in lines)
    assert step("a\n" + body).messages[0].text == "\n".join(lines)


def test_blank_lines_at_the_ends_go_and_inside_stay() -> None:
    assert step("a\n\n   \n    one\n\n\n      two  \n\n").messages == (Message("user", "one\n\n\n  two  "),)


def test_tabs_indent_like_spaces_when_they_are_alone() -> None:
    assert step("a\n\tone\n\t\ttwo").messages == (Message("user", "one\n\ttwo"),)


def test_line_ends_of_windows_are_line_ends() -> None:
    assert read(TRIAGE.replace("\n", "\r\n")).items == read(TRIAGE).items


def test_roles_start_messages_when_the_first_line_has_one() -> None:
    text = "system: Be calm.\n  And brief.\n\nuser: Q\nuser:me is text\n  assistant: too\nassistant:\n    A\n      B\nuser: R"
    assert prompt(text) == (
        Message("system", "Be calm.\n  And brief."),
        Message("user", "Q\nuser:me is text\n  assistant: too"),
        Message("assistant", "A\n  B"),
        Message("user", "R"),
    )


def test_a_pattern_of_one_prompt_takes_the_whole_body() -> None:
    body = "# Task\nx = {{ y }}\n\n  indented -> str\n\n"
    cell = parse("react", "orders", body, one_prompt=True)
    assert cell.items == ()
    assert cell.prompt == (Message("user", "# Task\nx = {{ y }}\n\n  indented -> str"),)
    roles = parse("react", "", "system: S\nuser: U", one_prompt=True)
    assert roles.prompt == (Message("system", "S"), Message("user", "U"))


# --- controls


@pytest.mark.parametrize(
    ("source", "expression", "action"),
    [
        ("gate x", "x", None),
        ("gate(x > 1)", "(x > 1)", None),
        ("gate x else retry 2", "x", Action("retry", 2)),
        ("gate x else stop 'why not'", "x", Action("stop", "why not")),
        ("gate x else goto a", "x", Action("goto", "a")),
        ('gate x else ask "Which {{ x }}?"', "x", Action("ask", "Which {{ x }}?")),
        ("gate p if q else r", "p if q else r", None),
        ("gate p if q else retry", "p if q else retry", None),
        ("gate p if q else r else retry 1", "p if q else r", Action("retry", 1)),
        ("gate x == ' else retry 2'", "x == ' else retry 2'", None),
        ("gate (p if q else stop) else stop ' else goto a'", "(p if q else stop)", Action("stop", " else goto a")),
        ("gate f('\\'') else retry 3", "f('\\'')", Action("retry", 3)),
    ],
)
def test_a_gate_is_divided_at_the_else_of_its_action(source: str, expression: str, action: Action | None) -> None:
    found = control(f"a\n{source}")
    assert (found.keyword, found.expression, found.action) == ("gate", expression, action)


@pytest.mark.parametrize(
    ("source", "expression", "maximum"),
    [
        ("until a.score >= 8 max 4", "a.score >= 8", 4),
        ("until a.score > max(b, c)", "a.score > max(b, c)", None),
        ("until a.score > max (b, 3) max 2", "a.score > max (b, 3)", 2),
        ("until max", "max", None),
    ],
)
def test_until_may_have_a_bound(source: str, expression: str, maximum: int | None) -> None:
    found = control(source)
    assert (found.keyword, found.expression, found.maximum) == ("until", expression, maximum)


def test_verify_may_have_a_prompt_and_approve_has_a_question() -> None:
    assert control("verify judge >= 0.8\n    Is it right? {{ x }}") == Control(
        "verify", "judge >= 0.8", None, (Message("user", "Is it right? {{ x }}"),), 2
    )
    assert control('approve "Send {{ mail }}?"') == Control(
        "approve", "", None, (Message("user", "Send {{ mail }}?"),), 2
    )


# --- problems


@pytest.mark.parametrize(
    ("body", "line", "column", "words"),
    [
        ("", 1, 0, "the cell is empty. Write `name(options)"),
        ("# nothing\n\n", 1, 0, "the cell is empty"),
        ("  text\n  more", 2, 0, "indented text without a step"),
        ("Read the ticket.\nThen answer.", 2, 0, "'Read the ticket.' is no step. Indent the text of a prompt"),
        ("a\ngaet x > 1", 3, 0, "did you mean 'gate'?"),
        ("a, b = f()", 2, 0, "is no step"),
        ("class -> str", 2, 0, "'class' is no Python name. Write another one: `class_step`"),
        ("visits", 2, 0, "'visits' is reserved. Write another name: `my_visits`"),
        ("feedback = 1", 2, 0, "reserved"),
        ("messages: all", 2, 0, "reserved"),
        ("until -> str", 2, 0, "'until' is reserved"),
        ("__end__", 2, 0, "reserved"),
        ("ﬁnd", 2, 0, "Write `find`"),
        ("user: hello", 2, 0, "'user' is a role, not a step. Indent it"),
        ("a\nb\na = 1", 4, 0, "'a' is already the name of line 2"),
        ("a(model=x", 2, 1, "the options are not closed. Write `)`"),
        ("a(large)", 2, 2, "'large' is no option. Write `name=value`"),
        ("a(max-tokens=3)", 2, 2, "Write `max_tokens=…`"),
        ("a(n=1, n=2)", 2, 7, "option 'n' is given twice"),
        ("a(n=)", 2, 4, "an expression is missing"),
        ("a(when=x >)", 2, 10, "invalid syntax"),
        ("a(n=1) str", 2, 7, "'str' is not expected. Write `-> outputs` or `: description`"),
        ("a -> ", 2, 2, "nothing follows `->`. Write a type"),
        ("a -> x: str = 1", 2, 2, "neither default nor star. Write `name: type`"),
        ("a -> {'x: y': int}", 2, 2, "is no type. Write a type"),
        ("a:", 2, 1, "nothing follows the colon"),
        ("a = ", 2, 3, "an expression is missing. Write one Python expression"),
        ("a = f(", 2, 5, "was never closed"),
        ("a = f(\n    x)", 3, 0, "text under the code step 'a'"),
        ("a\n    ok\n    {{ x\n", 4, 4, "Write `{{ name }}`"),
        ("a\n# note\n    {% if x %}\n# note\n    b\n", 4, 4, "Unexpected end of template"),
        ("a\n    system: S\n    user: {{ }}", 4, 4, "Expected an expression"),
        ("a\n\tx\n    y", 4, 0, "tabs and spaces mixed"),
        ("a\n    system:\n    user: x", 3, 0, "the system message is empty"),
        ("gate", 2, 4, "an expression is missing. Write `gate EXPRESSION else retry 2`"),
        ("gate x else", 2, 11, "no action after `else`"),
        ("gate x else retyr 2", 2, 12, "'retyr' is no action"),
        ("gate x else retyr 2", 2, 12, "did you mean 'retry'?"),
        ("gate x else retry", 2, 17, "`retry` needs a number"),
        ("gate x else retry 0", 2, 17, "`retry` needs a number"),
        ("gate x else stop why", 2, 16, "`stop` needs a reason in quotes"),
        ("gate x else ask ''", 2, 15, "no question in quotes"),
        ("gate x else goto 3", 2, 16, "`goto` needs a step"),
        ("reply\ngate x else goto repyl", 3, 17, "no step is called 'repyl'. Write one of the steps (reply); did you"),
        ("gate x is 'a' else retry 2", 2, 5, '"is" with'),
        ("gate x and else retry 2", 2, 10, "invalid syntax"),
        ("gate x\n    text", 3, 0, "text under `gate`"),
        ("until x max many", 2, 8, "`max` needs a number, not 'many'"),
        ("until x max 2 or max(b, 3)", 2, 8, "`max` needs a number, not '2 or max(b, 3)'"),
        ("verify", 2, 6, "an expression is missing"),
        ("approve yes", 2, 7, "no question in quotes"),
        ("approve 'a {{ b'", 2, 7, "end of template"),
        ("a\n  b \ud800", 3, 4, "half of a character"),
    ],
)
def test_a_problem_has_its_place_and_says_what_to_write(body: str, line: int, column: int, words: str) -> None:
    found = next(p for p in problems(body) if words in str(p))
    assert (found.line, found.column) == (line, column)
    assert "\n" not in found.found + found.write


def test_all_problems_are_told_at_once_in_the_order_of_the_text() -> None:
    found = problems("class\n    {{ x\ngate x else retyr\nb(n=) -> , \nb")
    assert [p.line for p in found] == [2, 3, 4, 5, 5, 6]


def test_a_prompt_at_column_0_is_one_problem() -> None:
    assert len(problems("Read this ticket.\nIt is important!\nThen answer it.\n")) == 1


def test_an_empty_prompt_says_where_it_goes() -> None:
    with pytest.raises(CellError, match="Write the prompt under the magic line"):
        parse("react", "orders", " \n", one_prompt=True)


def test_a_problem_shows_its_line_with_a_caret() -> None:
    (problem,) = problems("gate x else retyr 2")
    assert str(problem).splitlines()[1:] == ["    gate x else retyr 2", "                ^"]


def test_readers_of_a_cell_can_show_its_lines() -> None:
    cell = parse("chain", "triage", "a\r\nb = 1")
    assert cell.problem(1, 8, "x", "y").source == "%%chain triage"
    assert cell.problem(3, 0, "x", "y").source == "b = 1"


WORDS = [
    "a",
    "b",
    "gate",
    "else",
    "retry",
    "until",
    "max",
    "system:",
    "->",
    "{{",
    "}}",
    "{%",
    "(",
    ")",
    "[",
    "]",
    "=",
    ":",
    "#",
    "'",
    '"',
    "|",
    ",",
    "1",
    "é",
]
PIECES = st.sampled_from([*WORDS, " ", " ", "\n", "\n  ", "\t", "\r", "\0", "\ud800"])


@PATIENT
@given(st.text() | st.lists(PIECES).map("".join))
@example("a(" + "(" * 5000)
@example("a = " + "-" * 50_000 + "1")
@example("gate " + "a" + ".b" * 50_000)
@example("a -> " + "list[" * 150 + "str" + "]" * 150)
@example("a\n  " + "{{" * 5000)
@example("a(x=" + "[" * 3000 + "]" * 3000 + ")")
@example("gate x else retry " + "9" * 5000)
def test_any_text_is_a_cell_or_a_cell_error(body: str) -> None:
    for one_prompt in (False, True):
        try:
            cell = parse("chain", body[:20], body, one_prompt=one_prompt)
        except CellError as error:
            assert error.problems  # noqa: PT017 - either outcome is right
            assert str(error).encode()  # noqa: PT017 - either outcome is right
        else:
            assert cell.items or cell.prompt
