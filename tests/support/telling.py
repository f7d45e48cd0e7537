"""A trace that is told event by event, for the tests of what is read from it."""

from orchmagic.graph import draw
from orchmagic.graph.model import END, FAIL, Arm, Branch, Call, Code, Edge, Graph
from orchmagic.language.template import Message
from orchmagic.trace import events as e
from orchmagic.trace.record import Record
from orchmagic.trace.run_trace import Trace

PROMPT = (Message("user", "x"),)
GATE = Branch("gate_1", "gate_1", (Arm(True, "reply"), Arm(False, "extract", 2)), FAIL)
CHAIN = Graph(
    "triage",
    "chain",
    (Call("extract", PROMPT), Code("gate_1", "extract", gate=True), Call("reply", PROMPT)),
    (Edge("extract", "gate_1"), GATE, Edge("reply", END)),
    ("reply",),
)


class Told:
    """A trace that is told event by event; every event takes a second."""

    def __init__(self, graph=CHAIN):
        self.seconds = 0.0
        self.trace = Trace("r1", graph.name, graph.pattern, picture=draw.picture(graph), clock=lambda: self.seconds)
        self(e.RunStarted(inputs={"x": 1}))

    def __call__(self, *events):
        for event in events:
            self.trace.add(event)
            self.seconds += 1
        return self

    def ask(self, call, *, attempts=(), usage=(10, 5), cost: float | None = 0.25, messages=({"content": "q"},)):
        self(e.CallStarted(call=call, span=call.rpartition(".")[0], model="small", messages=messages))
        for n, error in enumerate(attempts, 1):
            who = {"call": call, "attempt": n, "model": "small", "provider": "p"}
            self(e.AttemptStarted(**who), e.AttemptFailed(**who, error=error, wait=0.5))
        who = {"call": call, "attempt": len(attempts) + 1, "model": "small", "provider": "p"}
        spent = e.Usage(input=usage[0], output=usage[1])
        self(e.AttemptStarted(**who), e.AttemptFinished(**who, usage=spent, cost=cost))
        return self(e.CallFinished(call=call, text="a", model="small", provider="p"))

    def step(self, span, kind="call"):
        return self(e.NodeStarted(span=span, node=span.partition("#")[0], kind=kind, input="in"))

    @property
    def record(self) -> Record:
        return self.trace.snapshot()

    def status(self, span):
        return next(s for s in self.record.spans if s.id == span).status


def done(span, output=None):
    return e.NodeFinished(span=span, output=output)
