"""`%orch lint`: a line per finding, with what is ignored and why, and a new cell for what is mechanical."""

import pytest
from lives import bind

from orchmagic.errors import InputError, SettingsError
from orchmagic.lint import ignoring
from orchmagic.notebook import commands

KNOWN = ("OM102", "OM105", "OM109")
ROUTE = '%%route desk\n{}billing: refunds\n    B {{{{ q }}}}\nhuman(ask="H {{{{ q }}}}"): else\n'


@pytest.fixture
def book(notebook, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # below no project
    return notebook


def orch(book, line):
    return str(commands.run(book.session, line))


def test_no_orchestration_is_said(book):
    assert orch(book, "lint") == "No orchestration yet: run a cell with a name, such as %%chain triage."


def test_a_finding_names_cell_line_rule_and_what_to_write(book):
    bind(book, ROUTE.format(""))
    first, *rest = orch(book, "lint").splitlines()
    assert first == "desk:1 OM109 no-otherwise: a label that no handler has fails the run. Write --otherwise human"
    assert rest == ["1 finding.", "%orch lint desk fix writes a cell with what can be mended by itself."]


def test_one_orchestration_of_several(book):
    bind(book, ROUTE.format(""))
    bind(book, ROUTE.format("").replace("desk", "other"))
    assert [line.partition(":")[0] for line in orch(book, "lint").splitlines()[:2]] == ["desk", "other"]
    assert "desk" not in orch(book, "lint other")
    with pytest.raises(SettingsError, match="did you mean 'other'"):
        orch(book, "lint othre")


def test_a_fix_is_the_cell_with_the_option(book):
    bind(book, ROUTE.format(""))
    assert "%%route desk --otherwise human\nbilling" in orch(book, "lint desk fix")
    bind(book, ROUTE.format("").replace("desk", "desk --otherwise human"))
    with pytest.raises(InputError, match="no finding of desk can be mended by itself"):
        orch(book, "lint desk fix")
    with pytest.raises(InputError, match="write %orch lint desk fix"):
        orch(book, "lint desk mend")


def test_a_cell_ignores_a_rule_with_a_reason(book):
    bind(book, ROUTE.format("# orch: ignore OM109 the router is a regular expression\n"))
    assert orch(book, "lint") == "0 findings, 1 ignored."


def test_a_project_ignores_a_rule_and_its_table_is_no_setting(book, tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[tool.orchmagic]\nretry = 2\n[tool.orchmagic.lint]\nignore = ["OM109 ours"]\n'
    )
    book.session.reload()
    bind(book, ROUTE.format(""))
    assert orch(book, "lint") == "0 findings, 1 ignored."
    assert book.session.settings.retry == 2


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# orch: ignore", "names no rule: write the rule, then the reason"),
        ("# orch: ignore because I say so", "names no rule"),
        ("# orch: ignore OM105", "gives no reason: write why after the rule: OM105 only one model is allowed"),
        ("# orch: ignore OM150 why", "there is no rule OM150 (known: OM102, OM105, OM109)"),
        ("# orch: ignore why OM105", "names no rule"),
    ],
)
def test_a_comment_that_ignores_nothing_is_refused(comment, said):
    with pytest.raises(SettingsError) as refused:
        ignoring.in_cell(f"%%chain c\n{comment}\na\n    A\n", KNOWN)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_comment_may_name_several_rules():
    found = ignoring.in_cell("%%chain c\n# orch: ignore OM105, OM102: one model\na\n    A\n", KNOWN)
    assert found == {"OM105": "one model", "OM102": "one model"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('ignore = "OM105 why"', "write a list of texts"),
        ("ignore = [105]", "write a list of texts"),
        ('ignroe = ["OM105 why"]', "ignroe is unknown: write ignore = [\"OM105 why\"]; did you mean 'ignore'?"),
        ('ignore = ["OM105"]', "gives no reason"),
        ('ignore = ["OM999 why"]', "there is no rule OM999"),
    ],
)
def test_a_wrong_table_of_the_project_is_one_line(tmp_path, table, said):
    (tmp_path / "pyproject.toml").write_text(f"[tool.orchmagic.lint]\n{table}\n")
    with pytest.raises(SettingsError) as refused:
        ignoring.in_project(tmp_path, KNOWN)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
