"""A session survives its notebook in a real kernel, in forked processes, and at the end of the process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from queue import Empty

import pytest
from real_kernel import Kernel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SETUP = """%load_ext orchmagic
%config OrchMagic.model = "scripted"
from orchmagic import Reply, Script, install
install(Script(lambda body: SCRIPT(body)))
SCRIPT = lambda body: None
None
"""
FINE = "%%chain fine --no-cache\nsay\n    hello\n"
SESSION = """
import sys, time, threading
from orchmagic import Reply, Script, Session, install
space = {}
session = Session(space, environ={"ORCHMAGIC_MODEL": "scripted"})
install(Script(lambda body: "said " + body["messages"][-1]["content"]))
def cell(text):
    head, _, body = text.partition(chr(10))
    magic, _, line = head[2:].partition(" ")
    return session.define(magic, line, body)
"""


class Asking(Kernel):
    """A kernel whose questions are answered: `answer(prompt)`, None leaves the question open."""

    def run(self, code: str, answer=lambda prompt: "", asked=lambda: None) -> str:
        """What the cell says: streams, results and the error. `asked` is called for a question left open."""
        request, said, until = self.client.execute(code, allow_stdin=True), [], time.monotonic() + 60
        while time.monotonic() < until:
            try:
                prompt = self.client.get_stdin_msg(timeout=0.02)["content"]["prompt"]
                reply = answer(prompt)
                self.client.input(reply) if reply is not None else asked()
            except Empty:
                pass
            try:
                message = self.client.get_iopub_msg(timeout=0.05)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return "\n".join(said)
            said += [content["text"]] if kind == "stream" else []
            said += [content["evalue"]] if kind == "error" else []
            said += [content["data"].get("text/plain", "")] if "data" in content else []
        raise AssertionError(f"the cell does not end: {code}\n{said}")


@pytest.fixture(scope="module")
def kernel() -> Iterator[Asking]:
    began = Asking()
    assert "rror" not in began.run(SETUP + "None")
    assert "hello" in began.run(FINE) + began.run("fine.last.record.name, 'hello'")
    yield began
    began.close()


def python(code: str, seconds: float = 60) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SESSION + code], check=False, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("import sys; sys.exit(2)", "SystemExit: 2"),
        ("import argparse; argparse.ArgumentParser(prog='p').parse_args(['--no-such'])", "SystemExit: 2"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("return next(x for x in [])", "StopIteration"),
    ],
)
def test_the_cell_fails_with_its_cause_and_the_next_one_runs(kernel, body, cause):
    kernel.run(f"def f(x: int = 1) -> str:\n    'f'\n    {body}")
    said = kernel.run("%%chain a --no-cache\nx = f(1)\nsay\n    hi {{ x }}\n")
    assert f"raised {cause}" in said
    assert "done" in kernel.run(FINE) + kernel.run("fine.last.status")


ASKS = "def askme(q: str) -> str:\n    'Ask'\n    return q + '=' + input(q)\n"


def test_questions_of_functions_side_by_side_are_asked_one_after_the_other(kernel):
    kernel.run(ASKS + "SCRIPT = lambda b: Reply(tool_calls=[('askme', {'q': c}) for c in 'ABC']) if "
               "b.get('tools') and b['messages'][-1]['role'] != 'tool' else 'fine'")  # fmt: skip
    kernel.run("%%react r --no-cache --tools askme\nGo\n", answer=lambda prompt: f"to {prompt}")
    said = kernel.run("[m['content'] for m in r.last['messages'] if m['role'] == 'tool']")
    assert "['A=to A', 'B=to B', 'C=to C']" in said


def test_questions_of_items_are_asked_one_after_the_other(kernel):
    kernel.run(ASKS + "SCRIPT = lambda b: b['messages'][-1]['content']")
    kernel.run("%%chain r --no-cache\nsay(over=list('ABCDE'), item=i)\n    {{ askme(i) }}\n", answer="to {}".format)
    assert "['A=to A', 'B=to B', 'C=to C', 'D=to D', 'E=to E']" in kernel.run("r.last.output")


@pytest.mark.parametrize("how", ["stop", "time limit"])
def test_a_question_that_nobody_waits_for_does_not_take_the_next_answer(kernel, how):
    kernel.run(ASKS)
    limit, asked = ("", kernel.manager.interrupt_kernel) if how == "stop" else (" --timeout 0.5s", lambda: None)
    kernel.run(f"%%chain a --no-cache{limit}\nx = askme('first')\nsay\n    {{{{ x }}}}\n", lambda _: None, asked)
    assert "got second" in kernel.run("print('got', input('next'))", answer=lambda _: "second")
    kernel.run("SCRIPT = lambda b: b['messages'][-1]['content']")
    kernel.run("%%chain b --no-cache\nx = askme('third')\nsay\n    {{ x }}\n", answer=lambda prompt: f"to {prompt}")
    assert "third=to third" in kernel.run("b.last.output")


def test_after_unload_a_run_is_shown_as_text_and_a_function_still_runs():
    kernel = Asking()
    try:
        kernel.run(SETUP + "None")
        kernel.run("%%chain t --no-cache\nsay\n    hi\n")
        kernel.run("run = t.last")
        kernel.run("%unload_ext orchmagic")
        for code in ("run", "display(run)", "t()"):
            assert "Run" in kernel.run(code)
        assert "got x" in kernel.run("print('got', input('?'))", answer=lambda _: "x")
        kernel.run("%load_ext orchmagic")
        assert "Done" in kernel.run("run")
    finally:
        kernel.close()


POOL = """
t = cell("%%chain t --no-cache\\nsay\\n    {{ v }}\\n")
assert t(v="first").output == "said first"
def work(v): return t(v=v).output
"""
FORKS = {
    "pool": "import multiprocessing as mp\nwith mp.get_context('fork').Pool(2) as p: print(p.map(work, ['a', 'b']))",
    "executor": "import multiprocessing as mp\nfrom concurrent.futures import ProcessPoolExecutor\n"
    "with ProcessPoolExecutor(2, mp_context=mp.get_context('fork')) as p: print(list(p.map(work, ['a', 'b'])))",
    "in a function": "import multiprocessing as mp\ndef both(x):\n"
    "    with mp.get_context('fork').Pool(2) as p: return p.map(work, ['a', 'b'])\n"
    "space['both'] = both\nprint(cell('%%chain outer --no-cache\\nx = both(1)\\nsay\\n    {{ x }}\\n')()['x'])",
}


@pytest.mark.parametrize("how", FORKS)
def test_a_run_in_a_forked_process(how):
    assert python(POOL + FORKS[how]).strip() == "['said a', 'said b']"


def test_a_forked_process_has_a_history_of_its_own_and_ends():
    said = python(POOL + """
import os
child = os.fork()
if child == 0:
    run = t(v="child")
    stored = session.services.history.store.run(run.id)
    print(run.output, stored.status)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
print(t(v="parent").output, len({r.id for r in session.services.history.store.runs()}))
""")  # fmt: skip
    assert said.split("\n")[:2] == ["said child done", "said parent 3"]


def test_a_run_of_the_parent_is_not_waited_for_and_a_write_is_refused():
    said = python("""
import os
from orchmagic import tool
from orchmagic.errors import OrchError
gate = threading.Event()
@tool(writes=True)
def pay(x: int) -> str:
    "Pays."
    return "paid"
def forks(x):
    child = os.fork()
    if child == 0:
        try: print(pay(1), flush=True)
        except OrchError as error: print(type(error).__name__, error, flush=True)
        try: slow.wait()
        except OrchError as error: print(error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    return "forked"
space.update(forks=forks, pay=pay, never=lambda x: gate.wait(60))
slow = cell("%%chain slow --no-cache\\nx = never(1)\\nsay\\n    {{ x }}\\n").prepare()
slow.start()
print(cell("%%chain one --no-cache\\nx = forks(1)\\nsay\\n    {{ x }}\\n")().status)
gate.set()
""")
    refused, waits, ended = said.strip().split("\n")
    assert refused.startswith("StoreError pay(x=1) was called in a forked process")
    assert "the process that this one was forked from" in waits
    assert ended == "done"


@pytest.mark.parametrize("function", ["def never(x): event.wait()", "async def never(x): event.wait()"])
@pytest.mark.parametrize("how", ["deadline", "stop", "background"])
def test_a_function_that_never_returns_does_not_keep_the_process(function, how):
    end = {
        "deadline": "assert made('1s').wait().status == 'capped'",
        "stop": "run = made('60s'); begun.wait(30); run.cancel(); assert run.wait().status == 'cancelled'",
        "background": "made('60s'); begun.wait(30)",
    }[how]
    began = time.monotonic()
    said = python(f"""
event, begun = threading.Event(), threading.Event()
{function.replace("event.wait()", "begun.set(); event.wait()")}
space["never"] = never
def made(deadline):
    run = cell(f"%%chain one --no-cache --deadline {{deadline}}\\nx = never(1)\\nsay\\n    {{{{{{{{ x }}}}}}}}\\n").prepare()
    run.start()
    return run
{end}
print("end", time.monotonic())
""")  # fmt: skip
    assert said.startswith("end")
    assert time.monotonic() - float(said.split()[1]) < 20  # the clock of the machine, since both read the same
    assert time.monotonic() - began < 60
