"""%%mapreduce: all of a long text is read, in chunks of one size, and merged in order and in levels."""

import json
import re

import pytest

from orchmagic import Reply
from orchmagic.errors import CellError
from orchmagic.graph.functions.chunking import estimated_tokens as tokens
from orchmagic.patterns.mapreduce import pattern

CELL = """%%mapreduce digest --over document --chunk {chunk}{options}
map
    Claims of: {{{{ chunk }}}}
reduce
    Merge: {{{{ parts }}}}
"""


def story(sentences):
    return " ".join(f"In year {i} the keeper counted {i * 7} lamps." for i in range(sentences))


def asked(notebook, start):
    """What stands behind `start` in the prompts that begin with it, in the order of the source."""
    found = [p.removeprefix(start) for p in notebook.prompts if p.startswith(start)]
    return sorted(found, key=lambda text: int(re.search(r"\d+", text).group()))


def years(body):
    """Map: the years that a chunk speaks of. Reduce: the parts joined."""
    text = body["messages"][-1]["content"]
    return text.removeprefix("Merge: ") if text.startswith("Merge: ") else " ".join(re.findall(r"year (\d+)", text))


def rules(**answers):
    """The answer of the first word that stands in the prompt."""
    return lambda body: next(a for word, a in answers.items() if word in body["messages"][-1]["content"])


def test_every_sentence_is_read_and_every_chunk_is_small_enough(notebook):
    notebook.script(years)
    document = story(300)
    run = notebook.run(CELL.format(chunk=400, options=""), document=document)
    chunks = asked(notebook, "Claims of: ")
    assert run.status == "done"
    assert len(chunks) > 5
    assert max(map(tokens, chunks)) <= 400
    assert all(any(s in c for c in chunks) for s in re.findall(r"In year .*?\.", document))
    assert run.chunks == chunks


def test_neighbours_overlap_by_a_twentieth_unless_asked_otherwise(notebook):
    notebook.script(years)
    run = notebook.run(CELL.format(chunk=1000, options=""), document=story(300))
    assert [a[-20:] in b for a, b in zip(run.chunks, run.chunks[1:], strict=False)] == [True] * (len(run.chunks) - 1)
    apart = notebook.run(CELL.format(chunk=1000, options=" --overlap 0"), document=story(300))
    assert "".join(apart.chunks) == story(300)


def test_chunks_have_3500_tokens_by_default(notebook):
    notebook.script(years)
    run = notebook.run(CELL.replace(" --chunk {chunk}{options}", "").format(), document=story(1500))
    assert 3000 < max(map(tokens, run.chunks)) <= 3500


def test_the_parts_are_merged_in_the_order_of_the_text(notebook):
    notebook.script(lambda body: Reply(years(body), latency=0.05 if "year 0 " in str(body) else 0))
    run = notebook.run(CELL.format(chunk=400, options=" --overlap 0"), document=story(100))
    assert [int(n) for part in json.loads(run.output) for n in part.split()] == list(range(100))


def test_a_merge_that_would_not_fit_goes_level_by_level(notebook):
    """Every part weighs much, so that only a few fit one prompt; what is merged is as long as one part."""

    def answer(body):
        text = body["messages"][-1]["content"]
        return " ".join(["word"] * 30) + " " + "-".join(re.findall(r"lot\d+", text))

    notebook.script(answer)
    items = [f"lot{i}" for i in range(40)]
    run = notebook.run(CELL.format(chunk=260, options=""), document=items)
    merges = [p for p in notebook.prompts if p.startswith("Merge: ")]
    assert run.status == "done"
    assert max(map(tokens, merges)) <= 260
    assert [s.name for s in run.record.steps].count("reduce") >= 3
    assert re.findall(r"lot\d+", run.output) == items


def test_parts_that_do_not_get_shorter_come_to_an_end_all_the_same(notebook):
    notebook.script(lambda _: "long " * 400)
    run = notebook.run(CELL.format(chunk=200, options=""), document=[f"item {i}" for i in range(9)])
    assert run.status == "done"
    assert len(notebook.scripted.requests) <= 9 + 2 * 9


def test_one_part_is_merged_too_so_that_the_result_has_the_declared_type(notebook):
    cell = CELL.replace("reduce\n", "reduce -> title: str, pages: int\n").format(chunk=400, options="")
    notebook.script("one claim", {"title": "Lamps", "pages": 1})
    run = notebook.run(cell, document="short")
    assert (run.output.title, run.output.pages) == ("Lamps", 1)


def test_typed_values_of_map_reach_the_merge_as_json(notebook):
    cell = CELL.replace("map\n", "map -> claims: list[str]\n").format(chunk=400, options="")
    notebook.script({"claims": ["a"]}, "merged")
    run = notebook.run(cell, document="short")
    assert (run.output, notebook.prompts[-1]) == ("merged", 'Merge: [{"claims":["a"]}]')
    assert run.map[0].claims == ["a"]


def test_the_items_of_a_list_are_the_chunks(notebook):
    notebook.script(lambda body: body["messages"][-1]["content"].replace("Claims of: ", ""))
    run = notebook.run(CELL.format(chunk=400, options=""), document=[{"id": 1}, {"id": 2}])
    assert run.map == ['{"id":1}', '{"id":2}']


def test_a_failed_chunk_leaves_the_others_alone(notebook):
    notebook.script(rules(lot2=Reply(fault="400"), Claims="fine", Merge="merged"))
    run = notebook.run(CELL.format(chunk=400, options=""), document=["lot1", "lot2", "lot3"])
    assert (run.status, run.map, run.output) == ("done", ["fine", None, "fine"], "merged")
    assert notebook.prompts[-1] == 'Merge: ["fine","fine"]'


def test_when_every_chunk_fails_the_run_fails(notebook):
    notebook.script(lambda _: Reply(fault="400"))
    run = notebook.run(CELL.format(chunk=400, options=""), document=["a", "b"])
    assert run.status == "failed"
    assert "all 2 items failed" in run.error


def test_nothing_to_read_gives_nothing_and_asks_nobody(notebook):
    run = notebook.run(CELL.format(chunk=400, options=""), document="")
    assert (run.status, run.output, notebook.scripted.requests) == ("done", None, [])


def test_reduce_has_a_prompt_of_its_own_when_it_is_left_out(notebook):
    notebook.script("claim", "merged")
    run = notebook.run("%%mapreduce --over document\nmap\n    Claims of: {{ chunk }}\n", document="text")
    assert run.output == "merged"
    assert '["claim"]' in notebook.prompts[1]


def test_other_inputs_of_the_merge_take_room_from_the_parts(notebook):
    cell = CELL.replace("Merge: ", "Merge: {{{{ question }}}} ").format(chunk=400, options="")
    notebook.script(lambda body: "Merged" if "Merge" in str(body) else "some words about one lot")
    document = [f"lot{i}" for i in range(30)]
    notebook.run(cell, document=document, question="why? " * 60)
    merges = [p for p in notebook.prompts if p.startswith("Merge: ")]
    assert len(merges) > 1
    assert max(map(tokens, merges)) <= 400


def test_a_code_step_can_fetch_the_text_and_over_can_be_an_expression(notebook):
    notebook.script(years)
    cell = CELL.format(chunk=400, options="").replace("--over document", "--over \"page['text'].upper()\"")
    cell = cell.replace("map\n", "page = fetch(address)\nmap\n", 1)
    run = notebook.run(cell, address="here", fetch=lambda address: {"text": f"from {address}"})
    assert notebook.prompts[0] == "Claims of: FROM HERE"
    assert run.chunks == ["FROM HERE"]


def test_another_pattern_can_be_map_and_reduce(notebook):
    notebook.script(lambda body: f"<{body['messages'][-1]['content']}>")
    notebook.space["claims"] = notebook.define("%%chain claims\nread\n    Read {{ chunk }}\n")
    notebook.space["merged"] = notebook.define("%%chain merged\nsum_up -> str\n    Sum up {{ parts }}\n")
    cell = "%%mapreduce --over document\nmap(run=claims)\nreduce(run=merged)\n"
    run = notebook.run(cell, document=["a", "b"])
    assert run.output == '<Sum up ["<Read a>","<Read b>"]>'


def test_the_example_runs(notebook):
    notebook.script({"value": ["one", "two"]}, "a page")
    run = notebook.run(pattern.example, document="text " * 50)
    assert (run.status, run.map, run.output) == ("done", [["one", "two"]], "a page")


PLAIN = CELL.format(chunk=400, options="")


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (PLAIN.replace("--over document ", ""), "there is nothing to split"),
        (PLAIN.replace("--over document", "--over 'a b'"), "is no expression"),
        (PLAIN.replace("--over document", "--over chunks"), "a name of the pattern itself"),
        (PLAIN.replace("--over document", "--over chunk"), "a name of the pattern itself"),
        (PLAIN.replace("--chunk 400", "--chunk 40"), "--chunk cannot be '40'"),
        (PLAIN.replace("--chunk 400", "--chunk 400 --overlap 200"), "--overlap 200 is too much"),
        (PLAIN.replace("{{ chunk }}", "it"), "'map' never reads 'chunk'"),
        (PLAIN.replace("{{ parts }}", "it"), "'reduce' never reads 'parts'"),
        (PLAIN.replace("map\n", "map(over=document)\n"), "takes no over="),
        (PLAIN.replace("map\n", "map(when=document)\n"), "takes no when="),
        (PLAIN.replace("map\n", "mapp\n"), "no step 'mapp'"),
        (PLAIN.replace("    Merge: {{ parts }}\n", ""), "step 'reduce' has no prompt"),
        (PLAIN + "extra\n    x\n", "no step 'extra'"),
        (PLAIN + "gate reduce\n", "no `gate` line"),
        (PLAIN + "chunks = 3\n", "'chunks' is a name of %%mapreduce itself"),
        (PLAIN + "split = 3\n", "'split' is a name of %%mapreduce itself"),
        (PLAIN + "after = reduce\n", "step 'after' reads 'reduce', which runs later"),
        (PLAIN.replace("    Merge", "    " + "Merge well. " * 80 + "Merge"), "fills half of a chunk"),
        (
            "%%mapreduce --over document\nmap = f(document)\nreduce\n    {{ parts }}\n",
            "'map' is a prompt in %%mapreduce",
        ),
        ("%%mapreduce --over document\nreduce\n    {{ parts }}\n", "the cell has no step 'map'"),
    ],
)
def test_a_wrong_cell_is_one_clear_line(notebook, cell, told):
    notebook.space["document"] = "text"
    with pytest.raises(CellError) as caught:
        notebook.define(cell)
    assert told in str(caught.value)
    assert all(p.write for p in caught.value.problems)
