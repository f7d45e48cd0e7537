"""`--dry-run`: the range of a run, without a call."""

import pytest

CHAIN = """%%chain
extract(retry=2, max_tokens=100) -> quote: str
    Read {{ ticket }}
gate extract.quote in ticket else retry 2
reply(when=extract.quote, max_tokens=100)
    Answer {{ extract.quote }}
"""


def of(notebook, cell, **values):
    notebook.space.update(values)
    return notebook.define(cell).estimate()


def test_a_chain_counts_loops_re_asks_and_conditions(notebook):
    found = of(notebook, CHAIN, ticket="it broke")
    assert (found.calls.low, found.calls.high) == (1, 3 * 3 + 1)
    assert notebook.scripted.requests == []


def test_a_route_takes_one_handler(notebook):
    cell = "%%route\na(max_tokens=10): x\n    A {{ q }}\nb(max_tokens=900): y\n    B {{ q }}\n"
    found = of(notebook, cell, q="q")
    assert found.calls.low == 2
    assert [s.name for s in found.steps] == ["router", "a", "b"]
    assert found.tokens.high < sum(s.tokens.high for s in found.steps)


def test_an_agent_counts_its_cap(notebook):
    def find(x: int) -> int:
        """Find."""
        return x

    found = of(notebook, "%%react --tools find --max-iterations 5\nGo\n", find=find)
    assert (found.calls.low, found.calls.high) == (1, 5)


def test_a_longer_input_costs_more(notebook):
    short = of(notebook, CHAIN, ticket="a")
    long = of(notebook, CHAIN, ticket="a" * 4000)
    assert long.tokens.low - short.tokens.low == pytest.approx(1000, abs=5)


def test_the_runs_own_limits_cut_the_most(notebook):
    assert of(notebook, CHAIN.replace("%%chain", "%%chain --max-tokens 50"), ticket="a").tokens.high == 50


def test_fallbacks_and_retries_bound_the_attempts(notebook):
    plain = of(notebook, CHAIN, ticket="a")
    backed = of(notebook, CHAIN.replace("%%chain", "%%chain --fallback scripted"), ticket="a")
    assert plain.attempts == plain.calls.high * 3
    assert backed.attempts == plain.attempts * 2


def test_prices_make_a_range_and_unknown_ones_are_said(notebook):
    models = (
        '{"cheap": {"provider": "scripted", "model": "scripted", "input_price": 1, "output_price": 2},'
        ' "odd": {"model": "nobody-knows-me", "base_url": "http://127.0.0.1:9/v1"}}'
    )
    notebook.session.environ = {**notebook.session.environ, "ORCHMAGIC_MODELS": models}
    found = of(notebook, CHAIN.replace("%%chain", "%%chain --model cheap"), ticket="a")
    assert found.cost is not None
    assert 0 < found.cost.low < found.cost.high
    odd = of(notebook, CHAIN.replace("%%chain", "%%chain --model odd"), ticket="a")
    assert odd.cost is None
    assert "unknown" in odd.text()
    assert "odd" in odd.text()
