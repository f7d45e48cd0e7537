"""Which parts of a variable a text uses: an entry, an element, the size, each element, or all of it."""

import pytest

from orchmagic.language.usage import NOTHING, SIZE, WHOLE, Use, merged, of_expression, of_template


def at(*path, use=WHOLE):
    """The use of a value whose part at `path` is used; `...` is each element."""
    for key in reversed(path):
        use = Use(each=use) if key is ... else Use(parts={key: use})
    return use


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("v", WHOLE),
        ("v.name", at("name")),
        ("v['name']", at("name")),
        ("v.get('name')", at("name")),
        ("v.get('name', 3)", at("name")),
        ("v['a']['b'].c", at("a", "b", "c")),
        ("v[0].name", at(0, "name")),
        ("v[-1]", at(-1)),
        ("v[7]", at(7)),
        ("len(v)", SIZE),
        ("not v.rows", at("rows", use=SIZE)),
        ("1 if v.on else 2", at("on", use=SIZE)),
        ("v.name.upper()", at("name") | at("name", "upper", use=NOTHING)),
        ("v.name == 'x' and v.age > 3", at("name") | at("age")),
        ("f'{v.name}'", at("name")),
        ("[r.name for r in v]", at(..., "name")),
        ("sum(r.n for r in v.rows if r.ok)", at("rows", ..., "n") | at("rows", ..., "ok", use=SIZE)),
        ("{r.id: r.name for r in v}", at(..., "id") | at(..., "name")),
        ("[r for r in v]", at(...)),
        ("[1 for _ in v]", at(..., use=NOTHING)),
        ("[x.name for r in v for x in r.rows]", at(..., "rows", ..., "name")),
        ("v.items()", WHOLE | at("items", use=NOTHING)),
        ("v[:3]", WHOLE),
        ("v[key]", WHOLE),
        ("[a for a, b in v]", WHOLE),
        ("show(v)", WHOLE),
        ("show(v.name)", at("name")),
        ("show(**v)", WHOLE),
        ("sorted(v, key=lambda r: r.name)", WHOLE),
        ("(lambda v: v.secret)(1)", None),
        ("(x := v.name) or x", at("name")),
        ("'name' in v", WHOLE),
        ("v[True]", WHOLE),
    ],
)
def test_what_an_expression_uses(source, use):
    assert of_expression(source).get("v") == use


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("{{ v }}", WHOLE),
        ("{{ v.name }}", at("name")),
        ("{{ v['name'] }}", at("name")),
        ("{{ v.get('name', '') }}", at("name")),
        ("{{ v[0].name }}", at(0, "name")),
        ("{{ v[-1].name }}", at(-1, "name")),
        ("{{ v|length }}", SIZE),
        ("{{ v.rows|count }}", at("rows", use=SIZE)),
        ("{{ len(v) }}", SIZE),
        ("{{ (v|first).name }}", at(0)),
        ("{{ v.name|upper }}", at("name")),
        ("{{ v.name|default('x') }}", at("name")),
        ("{{ v|tojson }}", WHOLE),
        ("{{ v|map(attribute='name')|join }}", WHOLE),
        ("{{ v.items() }}", WHOLE),
        ("{{ v[:2] }}", WHOLE),
        ("{{ v[key] }}", WHOLE),
        ("{% if v %}x{% endif %}", SIZE),
        ("{% if v.on %}{{ v.name }}{% endif %}", at("on", use=SIZE) | at("name")),
        ("{{ v.a if v.b else v.c }}", at("a") | at("b", use=SIZE) | at("c")),
        ("{% for r in v %}{{ r.name }}{% endfor %}", at(..., "name")),
        ("{% for r in v if r.ok %}{{ loop.index }}{% endfor %}", at(..., "ok", use=SIZE)),
        ("{% for r in v.rows %}{% for x in r %}{{ x.id }}{% endfor %}{% endfor %}", at("rows", ..., ..., "id")),
        ("{% for k, x in v.items() %}{{ k }}{% endfor %}", WHOLE),
        ("{% set x = v %}{{ x.name }}", WHOLE),
        ("{% for v in rows %}{{ v.name }}{% endfor %}{{ v.id }}", WHOLE),
        ("{% for v in rows %}{{ v.name }}{% endfor %}", None),
    ],
)
def test_what_a_template_uses(text, use):
    found = of_template(text).get("v")
    assert found == use if use != WHOLE else found is not None and found.whole


def test_what_is_used_of_a_value_is_used_of_its_variable():
    assert of_expression("v.rows", at(..., "name")) == {"v": at("rows", ..., "name")}
    assert of_expression("show(v)", at("name"))["v"] == WHOLE


def test_uses_of_several_texts_are_put_together():
    found = merged([of_template("{{ v.a }}"), of_expression("len(v) + w[0]")])
    assert found == {"v": at("a") | SIZE, "w": at(0)}
