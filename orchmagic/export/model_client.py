"""How a module asks models: `first_usable` (fallback), `ask` (typed replies), written for what its graph needs."""

from __future__ import annotations

from orchmagic.export.formatting import assigned, call
from orchmagic.export.module_plan import ModulePlan
from orchmagic.language.builtin_prompts import AGAIN, REASK


def asking(whole: ModulePlan) -> list[str]:
    """The functions and their constants, each a block; what nothing needs is left out later."""
    return [
        key_of(),
        client_of(),
        first_usable(whole),
        ask(whole),
        environment(),
        rendered(),
    ]


def words() -> list[str]:
    """Constants that the functions use."""
    return ["\n".join(assigned("REASK", REASK)), "\n".join(assigned("AGAIN", AGAIN))]


def model_class(whole: ModulePlan) -> str:
    """`Model`, for graphs whose models differ in more than their name."""
    lines = [
        "@dataclass(frozen=True)",
        "class Model:",
        '    """A model, where it is served, and what every request to it carries."""',
        "",
        "    name: str",
        "    base_url: str",
        '    key: str = "OPENAI_API_KEY"  # the environment variable',
        '    limit: str = "max_tokens"',
        "    options: dict[str, Any] = field(default_factory=dict)",
    ]
    found = whole.endpoints.deployments.values()
    if any(d.tools == "json" for d in found):
        lines.append("    actions: bool = False  # tools as JSON, not as tool calls")
    if any(d.logprobs for d in found):
        lines.append("    logprobs: bool = False")
    return "\n".join(lines)


def key_of() -> str:
    """The key of a `Model`."""
    return '''\
def key_of(model: Model) -> str:
    """Return the key of the model's endpoint; servers of your own need none."""
    return os.environ.get(model.key, "none")'''


def client_of() -> str:
    """The client of a `Model`."""
    return '''\
def client_of(model: Model, client: AsyncOpenAI) -> AsyncOpenAI:
    """Return a client of the model's endpoint; the given one is MODEL's."""
    if (model.base_url, model.key) == (MODEL.base_url, MODEL.key):
        return client
    return client.with_options(base_url=model.base_url, api_key=key_of(model))'''


def first_usable(whole: ModulePlan) -> str:
    """The function that asks models in turn."""
    uniform = whole.endpoints.uniform
    kind, name, client = ("str", "model", "client") if uniform else ("Model", "model.name", "client_of(model, client)")
    lines = [
        "async def first_usable(",
        "    client: AsyncOpenAI,",
        "    messages: Messages,",
        "    *,",
        f"    models: Sequence[{kind}] = (MODEL, *FALLBACK),",
        "    max_tokens: int = MAX_TOKENS,",
        "    **request: Any,",
        ") -> Choice:",
        '    """Ask the models in turn until one gives a usable answer."""',
        "    failures: list[Exception] = []",
        "    for model in models:",
        f"        body: dict[str, Any] = {{{', '.join([*_limits(whole), '**request'])}}}",
        f'        body |= {{"model": {name}, "messages": messages}}',
        *_adapted(whole),
        "        try:",
        *_returned(whole, f"await call_model({client}, body)"),
        "        except ModelFailedError as error:",
        "            if not error.fault.falls_back:",
        "                raise",
        f'            logger.warning("%s: %s", {name}, error)',
        "            failures.append(error)",
        '    raise ExceptionGroup("no model gave a usable answer", failures)',
    ]
    return "\n".join(lines)


def _limits(whole: ModulePlan) -> list[str]:
    """The limit of a reply, then what an endpoint wants besides (and may set otherwise)."""
    if not whole.endpoints.uniform:
        return ["model.limit: max_tokens", "**model.options"]
    first = whole.endpoints.first
    return [f'"{first.max_tokens_field}": max_tokens', *(["**OPTIONS"] if first.parameters else [])]


def _adapted(whole: ModulePlan) -> list[str]:
    """Changes to the body for models that cannot do everything."""
    lines: list[str] = []
    if not whole.endpoints.uniform and whole.logprobs:
        lines += ["        if not model.logprobs:", '            body.pop("logprobs", None)']
    if whole.actions:
        acts = 'body.pop("tools", None)'
        lines += [
            f"        acts = {acts if whole.endpoints.uniform else f'{acts} if model.actions else None'}",
            "        if acts:",
            '            instruction = INSTRUCTIONS[tuple(t["function"]["name"] for t in acts)]',
            '            body["messages"] = as_actions(messages, instruction)',
            '            form = action_format(body.get("response_format"), acts)',
            '            body["response_format"] = form',
        ]
    return lines


def _returned(whole: ModulePlan, asked: str) -> list[str]:
    if not whole.actions:
        return [f"            return {asked}"]
    return [
        f"            choice = {asked}",
        "            return acted(choice) if acts else choice",
    ]


def ask(whole: ModulePlan) -> str:
    """The function that asks for a typed reply; with tools or log-probabilities it returns the choice too."""
    both = whole.wants_choice
    named = any(plan.form_name(n) for plan, n in whole.calls)
    name = "name or kind.__name__" if named else "kind.__name__"
    strict = "kind not in LOOSE" if loose(whole) else "True"
    wraps = ", wraps=kind in LONE" if lone(whole) else ""
    lines = [
        "async def ask(",
        "    client: AsyncOpenAI,",
        "    messages: Messages,",
        "    kind: type[Any],",
        "    *,",
        *(['    name: str = "",'] if named else []),
        "    reasks: int = REASKS,",
        "    **request: Any,",
        f") -> {'tuple[Any, Choice]' if both else 'Any'}:",
        '    """Ask for a reply that fits the class; the model is told what does not."""',
        f'    form: dict[str, Any] = {{"name": {name}, "strict": {strict}}}',
        '    form["schema"] = TypeAdapter(kind).json_schema()',
        '    request["response_format"] = {"type": "json_schema", "json_schema": form}',
        "    while True:",
        "        choice = await first_usable(client, messages, **request)",
        *(["        if choice.message.tool_calls:", "            return None, choice"] if whole.has_tools else []),
        '        reply = choice.message.content or ""',
        "        try:",
        f"            return read_reply(kind, reply{wraps}){', choice' if both else ''}",
        "        except UnfitReplyError as error:",
        "            if not reasks:",
        "                raise",
        '            wrong = {"role": "user", "content": REASK.format(error=error)}',
        '            said = {"role": "assistant", "content": reply}',
        "        messages = [*messages, said, wrong]",
        "        reasks -= 1",
    ]
    return "\n".join(lines)


def loose(whole: ModulePlan) -> list[str]:
    """The constant that names the classes whose schema endpoints would refuse to enforce."""
    found = dict.fromkeys(plan.kind(n) for plan, n in whole.typed if not plan.strict(n))
    remark = "# Classes too open for an endpoint to enforce token by token."
    return ["\n".join([remark, *call("LOOSE: set[type[Any]] = {", list(found), "}")])] if found else []


def lone(whole: ModulePlan) -> list[str]:
    """The constant that names the classes whose value may be the whole reply."""
    found = dict.fromkeys(plan.kind(n) for plan, n in whole.typed if plan.types[n.name].kind == "value")
    remark = "# Classes of one value, which may be the whole reply."
    return ["\n".join([remark, *call("LONE: set[type[Any]] = {", list(found), "}")])] if found else []


def environment() -> str:
    """Jinja, set up as the notebook has it."""
    return '''\
def environment() -> Environment:
    """Return Jinja for prompts: no HTML, no comments, missing names are errors."""
    return Environment(
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - prompts are text for a model, not HTML
        keep_trailing_newline=True,
        comment_start_string="\\uf8ff{#no comments\\uf8ff",
        comment_end_string="\\uf8ffno comments#}\\uf8ff",
        finalize=as_text,
    )'''


def rendered() -> str:
    """The function that fills in a Jinja prompt."""
    return '''\
def rendered(template: str, **values: Any) -> str:
    """Fill in a prompt that has logic."""
    return environment().from_string(template).render(values)'''
