"""Of a prompt, the values are set apart from all the rest, and the two make the messages again."""

from orchmagic.core.portable import as_text
from orchmagic.language.template import Message
from orchmagic.runtime.prompt_variables import varied

PROMPT = (Message("system", "Be brief."), Message("user", "Team {{ team }}: {{ question }}"))


def test_values_are_parts_and_the_rest_is_the_frame():
    one = varied(PROMPT, (), {"team": "blue", "question": "Why?", "unused": "x"})
    assert one.parts == {"team": "blue", "question": "Why?"}
    assert "Be brief." in one.frame
    assert "Why?" not in one.frame


def test_equal_frames_and_parts_make_equal_messages_and_others_do_not():
    seen = {"team": "blue", "question": "Why?"}
    assert varied(PROMPT, (), seen) == varied(PROMPT, (), {**seen, "else": 1})
    assert varied(PROMPT, (), seen) != varied(PROMPT, (), {**seen, "team": "red"})
    assert varied(PROMPT, (), seen).frame != varied(PROMPT[1:], (), seen).frame
    said = ({"role": "assistant", "content": "Hello."},)
    assert varied(PROMPT, (), seen).frame != varied(PROMPT, said, seen).frame


def test_records_are_parts_as_the_prompt_shows_them():
    found = varied((Message("user", "{{ step.why }}"),), (), {"step": {"why": "so", "n": 1}})
    assert found.parts == {"step": as_text({"why": "so", "n": 1})}


def test_a_prompt_without_values_has_nothing_to_compare():
    assert varied(PROMPT[:1], (), {}) is None


def test_functions_and_missing_values_are_not_compared():
    assert varied((Message("user", "{{ find(q) }}"),), (), {"find": lambda q: q, "q": "x"}) is None
    assert varied(PROMPT, (), {"team": "blue"}) is None


def test_turns_that_are_not_plain_text_are_not_compared():
    image = ({"role": "user", "content": [{"type": "image_url"}]},)
    assert varied(PROMPT, image, {"team": "blue", "question": "Why?"}) is None
