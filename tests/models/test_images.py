"""Images as inputs: sent as parts of a message to models that take them, a few words everywhere else."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from IPython.display import Image as Shown

from orchmagic.errors import InputError
from orchmagic.models import images

DOT = base64.b64decode(  # one transparent pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
LOOK = "%%chain look\nsee\n    What is on {{ photo }} and why?\n"


def parts(notebook):
    return notebook.scripted.requests[-1]["messages"][0]["content"]


@pytest.mark.parametrize("made", [lambda _: DOT, lambda _: Shown(data=DOT), lambda f: f])
def test_an_image_becomes_a_part_of_the_message(notebook, tmp_path, made):
    file = tmp_path / "dot.PNG"
    file.write_bytes(DOT)
    notebook.script("a dot")
    run = notebook.run(LOOK, photo=made(file))
    assert (run.status, run.output) == ("done", "a dot")
    before, image, after = parts(notebook)
    assert (before, after) == ({"type": "text", "text": "What is on "}, {"type": "text", "text": " and why?"})
    assert base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,")) == DOT


def test_the_trace_tells_of_an_image_in_a_few_words(notebook):
    notebook.script("a dot")
    run = notebook.run(LOOK, photo=DOT)
    record = json.dumps(run.record.to_json())
    assert base64.b64encode(DOT).decode() not in record
    assert "[image/png, 0 kB]" in record


def test_a_list_of_images_is_looked_at_one_by_one(notebook):
    notebook.script(lambda body: str(len(body["messages"][0]["content"])))
    run = notebook.run("%%chain\nsee(over=photos, item=photo)\n    Look: {{ photo }}\n", photos=[DOT, DOT])
    assert run.output == ["2", "2"]


def test_an_image_in_a_record_and_from_a_code_step(notebook):
    notebook.script("one", "two")
    cell = "%%chain\nmade = draw(1)\nfirst\n    A {{ made }}\nsecond\n    B {{ row.photo }} {{ first }}\n"
    run = notebook.run(cell, row={"photo": DOT}, draw=lambda n: DOT)
    assert (run.status, run.error) == ("done", None)
    assert [p["type"] for p in notebook.scripted.requests[0]["messages"][0]["content"]] == ["text", "image_url"]
    assert [p["type"] for p in parts(notebook)] == ["text", "image_url", "text"]


@pytest.mark.parametrize("source", ["photo", "draw(1)"])
def test_an_image_stays_one_after_code_steps_that_give_none(notebook, source):
    notebook.script("a dot")
    cell = f"%%chain\nmade = {source}\nsize = 1 + 1\nsee\n    A {{{{ made }}}} of {{{{ size }}}}\n"
    assert notebook.run(cell, photo=DOT, draw=lambda n: DOT).output == "a dot"
    assert [p["type"] for p in parts(notebook)] == ["text", "image_url", "text"]


def test_a_model_without_vision_is_refused_before_the_call(notebook):
    notebook.session.services.environ.update(
        {
            "ORCHMAGIC_MODELS": '{"blind": {"provider": "scripted", "vision": false}, "sighted": {"provider": "scripted"}}',
        }
    )
    notebook.script("never", "seen")
    run = notebook.run(LOOK.replace("look\n", "look --model blind\n"), photo=DOT)
    assert run.status == "failed"
    assert "'see' sends an image, and 'blind' takes none" in run.error
    assert notebook.scripted.requests == []
    text = notebook.run(LOOK.replace("look\n", "look --model blind\n"), photo="a word")
    assert text.output == "never"


def test_of_the_fallbacks_only_those_with_vision_are_asked(notebook):
    models = '{"blind": {"provider": "scripted", "vision": false}, "sighted": {"provider": "scripted"}}'
    notebook.session.services.environ.update({"ORCHMAGIC_MODELS": models})
    notebook.script("seen")
    run = notebook.run(LOOK.replace("look\n", "look --model blind --fallback sighted\n"), photo=DOT)
    assert run.output == "seen"
    assert [s.name for s in run.record.spans if s.kind == "ask"] == ["ask sighted"]


def test_a_run_with_an_image_is_replayed_and_cached(notebook):
    notebook.script("a dot", "never")
    run = notebook.run(LOOK, photo=DOT)
    assert run.replay().output == "a dot"
    again = notebook.run(LOOK, photo=DOT)
    assert (again.record.cached, len(notebook.scripted.requests)) == (1, 1)


def test_an_image_does_not_count_its_letters_as_tokens(notebook):
    notebook.script("big")
    big = DOT + bytes(300_000)
    assert notebook.run(LOOK.replace("look\n", "look --max-tokens 5000\n"), photo=big).status == "done"


def test_what_cannot_be_sent_is_one_clear_line(notebook, tmp_path):
    made = notebook.define(LOOK)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        made(photo=tmp_path / "none.png")
    odd = tmp_path / "odd.png"
    odd.write_text("no image")
    with pytest.raises(InputError, match="no known format"):
        made(photo=odd)
    with pytest.raises(InputError, match="at most 20 MB"):
        made(photo=DOT + bytes(21_000_000))


def test_text_that_looks_like_an_image_stays_text(notebook):
    notebook.script("ok")
    hostile = "\uf8ffimage/png,AAAA\uf8ff"
    notebook.run(LOOK, photo=hostile)
    content = parts(notebook)
    assert isinstance(content, str) or all(p["type"] == "text" for p in content)


def test_images_survive_the_way_to_json_and_back():
    found = images.encode(DOT)
    assert images.encode(images.seen(found)) == found
    assert images.encode(Path("notes.txt")) is None
    assert images.among({"a": [found]})
