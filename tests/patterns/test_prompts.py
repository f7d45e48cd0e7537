"""What a pattern takes of a cell's prompt for the prompt of a step of its own."""

from orchmagic.language.template import Message
from orchmagic.patterns._prompts import task


def test_a_task_is_what_is_asked_without_the_answers_shown_as_examples():
    messages = (Message("system", "Be calm."), Message("user", "Solve {{ q }}"), Message("assistant", "42"))
    assert task(messages) == "Be calm.\nSolve {{ q }}"
