"""Generates `first_usable`, which calls models in turn, for the models and tools of the graph."""

from __future__ import annotations

from orchmagic.export.module_plan import ModulePlan


def first_usable(whole: ModulePlan) -> str:
    """Returns the source of `first_usable`."""
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
    """Returns the body's first entries: the token limit, then the endpoint's parameters, which may override it."""
    if not whole.endpoints.uniform:
        return ["model.limit: max_tokens", "**model.options"]
    first = whole.endpoints.first
    return [f'"{first.max_tokens_field}": max_tokens', *(["**OPTIONS"] if first.parameters else [])]


def _adapted(whole: ModulePlan) -> list[str]:
    """Returns the lines that adapt the body to models without logprobs, tool calls, or schemas beside tools."""
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
    if whole.tells_schemas:
        told = "        body = schema_told(body)"
        lines += [told] if whole.endpoints.uniform else ["        if not model.schemas_with_tools:", f"    {told}"]
    return lines


def _returned(whole: ModulePlan, asked: str) -> list[str]:
    if not whole.actions:
        return [f"            return {asked}"]
    return [
        f"            choice = {asked}",
        "            return acted(choice) if acts else choice",
    ]
