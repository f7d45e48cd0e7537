"""Of a prompt, the values are set apart from all the rest, and the two make the messages again."""

from orchmagic.core.portable import as_text
from orchmagic.language.template import Message
from orchmagic.runtime.call_node import prompt_variables

PROMPT = (Message("system", "Be brief."), Message("user", "Team {{ team }}: {{ question }}"))


def test_values_are_parts_and_the_rest_is_the_frame():
    one = prompt_variables(PROMPT, (), {"team": "blue", "question": "Why?", "unused": "x"})
    assert one.parts == {"team": "blue", "question": "Why?"}
    assert "Be brief." in one.frame
    assert "Why?" not in one.frame


def test_equal_frames_and_parts_make_equal_messages_and_others_do_not():
    seen = {"team": "blue", "question": "Why?"}
    assert prompt_variables(PROMPT, (), seen) == prompt_variables(PROMPT, (), {**seen, "else": 1})
    assert prompt_variables(PROMPT, (), seen) != prompt_variables(PROMPT, (), {**seen, "team": "red"})
    assert prompt_variables(PROMPT, (), seen).frame != prompt_variables(PROMPT[1:], (), seen).frame
    said = ({"role": "assistant", "content": "Hello."},)
    assert prompt_variables(PROMPT, (), seen).frame != prompt_variables(PROMPT, said, seen).frame


def test_records_are_parts_as_the_prompt_shows_them():
    found = prompt_variables((Message("user", "{{ step.why }}"),), (), {"step": {"why": "so", "n": 1}})
    assert found.parts == {"step": as_text({"why": "so", "n": 1})}


def test_a_prompt_without_values_has_nothing_to_compare():
    assert prompt_variables(PROMPT[:1], (), {}) is None


def test_functions_and_missing_values_are_not_compared():
    assert prompt_variables((Message("user", "{{ find(q) }}"),), (), {"find": lambda q: q, "q": "x"}) is None
    assert prompt_variables(PROMPT, (), {"team": "blue"}) is None


def test_turns_that_are_not_plain_text_are_not_compared():
    image = ({"role": "user", "content": [{"type": "image_url"}]},)
    assert prompt_variables(PROMPT, image, {"team": "blue", "question": "Why?"}) is None
