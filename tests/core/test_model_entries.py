"""What may stand in [tool.orchmagic.models], and what a wrong entry says."""

from __future__ import annotations

import pytest

from orchmagic.core.model_entries import POLICIES, ProblemsError, added, models
from orchmagic.errors import InputError
from orchmagic.models.routing.ranking import candidates
from orchmagic.models.types import Pool


def test_a_name_a_table_and_a_list_are_entries():
    found = models({"a": "m", "b": {"endpoint": "groq", "model": "m"}, "c": ["groq/m", {"use": "a", "weight": 2}]})
    assert found["a"] == {"model": "m"}
    assert found["b"] == {"endpoint": "groq", "model": "m"}
    assert found["c"] == {"deployments": ({"use": "groq/m"}, {"use": "a", "weight": 2.0})}


def test_the_environment_writes_the_same_as_json():
    written = '{"c": {"deployments": ["groq/m"], "policy": "price", "hedge": "2s"}}'
    assert models(written) == {"c": {"deployments": ({"use": "groq/m"},), "policy": "price", "hedge": 2.0}}


def test_everything_that_is_wrong_is_said_at_once_and_where():
    entry = {
        "deployments": [{"use": "a", "wieght": 2}, 7, {"model": "m", "input_price": 1}, {"model": "m", "weight": 0}],
    }
    with pytest.raises(ProblemsError) as caught:
        models({"p": entry})
    first, second, third, fourth = caught.value.problems
    assert first.startswith("models.p.deployments[1].wieght is unknown: ")
    assert first.endswith("did you mean 'weight'?")
    assert second.startswith("models.p.deployments[2] is 7: write a table such as { endpoint")
    assert third.startswith("models.p.deployments[3] has one price: write both")
    assert fourth == "models.p.deployments[4].weight is 0: write a number above 0, such as 2"


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ([], "models.p.deployments is .*: write a list such as"),
        ({"deployments": "groq/m"}, "models.p.deployments is 'groq/m': write a list"),
        ({"deployments": ["a"], "policy": "best"}, 'policy is \'best\': write "order" or "weighted" or'),
        ({"deployments": ["a"], "model": "m"}, "models.p.model is unknown"),
        ({"deployments": ["a"], "hedge": 0}, "hedge is 0: write more than no time"),
        (7, "models.p is 7: write a table"),
        ({"model": "m", "parameters": {"messages": None}}, "write a table without 'messages', which each call sets"),
        ({"model": "m", "parameters": {"seed": 1, "model": "x"}}, "write a table without 'model', which each call"),
    ],
)
def test_a_wrong_alias_says_what_to_write(entry, said):
    with pytest.raises(ProblemsError, match=said):
        models({"p": entry})


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_that_can_be_written_is_known_to_the_balance(policy):
    from orchmagic.models.types import Deployment  # noqa: PLC0415 - beside its use

    members = (Deployment("p@a", "scripted", "a"), Deployment("p@b", "scripted", "b"))
    assert len(list(candidates(Pool("p", members, policy), {}, lambda: 0.5))) == 2


def test_an_alias_can_be_added_by_a_line():
    assert added(["fast", "groq/m", "small", "policy=uptime", "hedge=2"]) == {
        "fast": {"deployments": ({"use": "groq/m"}, {"use": "small"}), "policy": "uptime", "hedge": 2.0}
    }
    assert added(["mine", "model=m", "base_url=http://127.0.0.1:1/v1", "vision=false"]) == {
        "mine": {"model": "m", "base_url": "http://127.0.0.1:1/v1", "vision": False}
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs a name and what it stands for: write %orch models add fast"),
        (["fast"], "needs a name and what it stands for"),
        (["model=m"], "needs a name"),
        (["fast", "groq/m", "polcy=price"], "models.fast.polcy is unknown.*did you mean 'policy'"),
    ],
)
def test_a_line_that_adds_nothing_says_what_to_write(words, said):
    with pytest.raises(InputError, match=said):
        added(words)
