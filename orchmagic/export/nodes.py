"""The nodes of a module: an async function each, state in, update out."""

from __future__ import annotations

import ast
import inspect
from typing import assert_never

from orchmagic import expression
from orchmagic.export import expressions, prompts, values
from orchmagic.export.layout import call, constant, literal
from orchmagic.export.plan import Plan
from orchmagic.graph import Approve, Call, Code, Node, Tools


def nodes(plan: Plan) -> list[str]:
    """One function for each node."""
    return ["\n".join(_node(plan, node)) for node in plan.graph.nodes]


def needs_client(node: Node) -> bool:
    """Whether the node's function takes the client."""
    return isinstance(node, Call)


def _node(plan: Plan, node: Node) -> list[str]:
    name = plan.function[node.name]
    client = ", *, client: AsyncOpenAI" if needs_client(node) else ""
    head = [*call(f"async def {name}(", ["state: State", *([client[2:]] if False else [])], ") -> State:")]
    if client:
        head = [f"async def {name}(state: State{client}) -> State:"]
    match node:
        case Call():
            return [*head, f'    """{_said(plan, node)}"""', *_reads(plan, node), *_skip(plan, node), *_call(plan, node)]
        case Code(gate=True):
            return [*head, '    """Check what the steps before it found."""', *_reads(plan, node), *_gate(plan, node)]
        case Code():
            return [*head, f'    """Compute {node.name}."""', *_reads(plan, node), *_skip(plan, node), *_code(plan, node)]
        case Approve():
            return [*head, '    """Wait for a person\'s answer."""', *_reads(plan, node), *_approve(plan, node)]
        case Tools():
            return [*head, '    """Run the tool calls of the last message side by side."""', *_tools(plan, node)]
        case _:
            assert_never(node)


def _said(plan: Plan, node: Call) -> str:
    if node.tools:
        return "Think, then call tools or answer."
    fields = [f.name for f in node.output.fields]
    listed = " and ".join([", ".join(fields[:-1]), fields[-1]]) if len(fields) > 1 else "".join(fields)
    what = listed or ("a text" if plan.types[node.name].kind == "text" else node.name)
    said = f"Ask a model for {what}."
    return said if len(said) <= 76 else f"Ask a model for {node.name}."  # noqa: PLR2004 - 88 less indent and quotes


def _reads(plan: Plan, node: Node) -> list[str]:
    """Locals for what the function's expressions read."""
    lines = []
    for name in plan.reads(node):
        if name == "messages" or name in plan.inputs or name in {n.name for n in plan.graph.nodes}:
            lines += _assigned(plan.variable[name], values.read(plan, name, node.name), _annotation(plan, name, node))
    return lines


def _annotation(plan: Plan, name: str, node: Node) -> str:
    """`: Any` for what may be missing: expressions of the cell say themselves when it is."""
    read = values.read(plan, name, node.name)
    return ": Any" if read.startswith("state.get(") and name != "messages" else ""


def _assigned(name: str, source: str, annotation: str = "") -> list[str]:
    return expressions.lines(expressions.read(source), f"    {name}{annotation} = ")


def _skip(plan: Plan, node: Call | Code) -> list[str]:
    if node.when is None:
        return []
    tree = expressions.opposite(expressions.read(node.when, plan.variable))
    return [*expressions.lines(_threaded_if(plan, tree), "    if ", ":"), *_returned(plan, node, ["None"], indent="        ")]


def _threaded_if(plan: Plan, tree: ast.expr) -> ast.expr:
    """Conditions that call the notebook's functions run them in a thread, as the notebook does."""
    if not expression.called(ast.unparse(tree)) & set(plan.graph.code):
        return tree
    return expressions.read(f"await asyncio.to_thread(lambda: {ast.unparse(tree)})")


def _returned(plan: Plan, node: Node, value: list[str], *, more: list[str] | None = None, indent: str = "    ") -> list[str]:
    """The update: the node's value, what else it says, and its count where a branch counts."""
    items = [f'"{node.name}": {v}' for v in value] + (more or [])
    if node.name in plan.counted:
        items.append(f'"{node.name}_visits": state.get("{node.name}_visits", 0) + 1')
    return call(f"{indent}return {{", items, "}")


def _call(plan: Plan, node: Call) -> list[str]:
    lines = _messages(plan, node)
    asked = _asked(plan, node)
    if node.tools:
        return [*lines, *_agent(plan, node, asked)]
    if node.name not in plan.typed:
        lines += call("    choice = await first_usable(", asked, ")")
        return [*lines, *_returned(plan, node, ['choice.message.content or ""'])]
    sure = plan.logprobs(node)
    target = ("value, choice" if sure else "value, _") if plan.wants_choice else "value"
    asking = call(f"    {target} = await ask(", asked, ")")
    value = 'value["value"]' if plan.types[node.name].kind == "value" else "value"
    if node.tolerant:
        asking = [
            "    try:",
            *(f"    {row}" for row in call(f"    {target} = await ask(", asked, ")")),
            "    except UnfitReplyError:",
            *_returned(plan, node, ["None"], indent="        "),
        ]
    if sure:
        field = literal(node.confidence)
        asking.append(f'    value["confidence"] = how_sure(choice, {field}, value[{field}])')
    return [*lines, *asking, *_returned(plan, node, [value])]


def _messages(plan: Plan, node: Call) -> list[str]:
    name = plan.function[node.name]
    arguments = [plan.variable[n] for n in prompts.read_by(plan, node)]
    lines = call(f"    messages = {name}_prompt(", arguments, ")")
    if node.transcript:
        lines.append('    messages += state.get("messages", [])')
    if node.name in values.checked(plan):
        said = f'state["{node.name}"]'
        if plan.types[node.name].kind != "text":
            said = f"as_text({said})"
        lines += [
            f'    if check := state.get("{node.name}_check"):',
            f'        messages.append({{"role": "assistant", "content": {said}}})',
            '        again = {"role": "user", "content": AGAIN.format(check=check)}',
            "        messages.append(again)",
        ]
    return lines


def _asked(plan: Plan, node: Call) -> list[str]:
    """The arguments of `ask` or `first_usable`."""
    upper = plan.function[node.name].upper()
    typed = node.name in plan.typed
    found = ["client", "messages", *([plan.kind(node)] if typed else [])]
    if form := plan.form_name(node):
        found.append(f"name={literal(form)}")
    if typed and not plan.strict(node):
        found.append("strict=False")
    if typed and node.retry != plan.reasks:
        found.append(f"reasks={upper}_REASKS")
    if models := plan.endpoints.models(node):
        found.append(f"models={models}")
    for option in ("temperature", "max_tokens", "timeout"):
        if getattr(node, option) is not None:
            found.append(f"{option}={upper}_{option.upper()}")
    if node.tools:
        found.append("tools=tool_format()")
    if plan.logprobs(node):
        found.append("logprobs=True")
    return found


def tuned(plan: Plan) -> list[list[str]]:
    """Constants of single steps: what `_asked` names."""
    found = []
    for node in plan.calls:
        upper = plan.function[node.name].upper()
        if node.name in plan.typed and node.retry != plan.reasks:
            found.append([f"{upper}_REASKS = {node.retry}"])
        for option in ("temperature", "max_tokens", "timeout"):
            value = getattr(node, option)
            if value is not None:
                found.append([f"{upper}_{option.upper()} = {value!r}"])
    for node in plan.graph.nodes:
        if isinstance(node, Code) and node.again:
            found.append(constant_of(plan, node))
    return found


def constant_of(plan: Plan, node: Code) -> list[str]:
    """The check of a gate as text: the model reads it when it failed."""
    from orchmagic.export.layout import assigned

    return assigned(f"{plan.function[node.name].upper()}_CHECK", node.expression)


def _agent(plan: Plan, node: Call, asked: list[str]) -> list[str]:
    typed = node.name in plan.typed
    asking = call("    value, choice = await ask(" if typed else "    choice = await first_usable(", asked, ")")
    calls = f'"{node.transcript}": [tool_calls(choice)]'
    said = ['    reply = choice.message.content or ""', '    said = {"role": "assistant", "content": reply}']
    value = ('value["value"]' if plan.types[node.name].kind == "value" else "value") if typed else "reply"
    return [
        *asking,
        "    if choice.message.tool_calls:",
        *_returned(plan, node, [], more=[calls], indent="        "),
        *said,
        *_returned(plan, node, [value], more=[f'"{node.transcript}": [said]']),
    ]


def _gate(plan: Plan, node: Code) -> list[str]:
    tree = expressions.read(node.expression, plan.variable)
    threaded = _threaded(plan, tree)
    if not isinstance(threaded, ast.Compare) and not (isinstance(threaded, ast.UnaryOp) and isinstance(threaded.op, ast.Not)):
        threaded = ast.Call(ast.Name("bool"), [threaded], [])
    lines = expressions.lines(threaded, "    passed = ")
    more = []
    if node.again:
        more = [f'"{node.again}_check": None if passed else {plan.function[node.name].upper()}_CHECK']
    return [*lines, *_returned(plan, node, ["passed"], more=more)]


def _code(plan: Plan, node: Code) -> list[str]:
    tree = _threaded(plan, expressions.read(node.expression, plan.variable))
    return [*expressions.lines(tree, "    value = "), *_returned(plan, node, ["to_jsonable_python(value)"])]


def _threaded(plan: Plan, tree: ast.expr) -> ast.expr:
    """Notebook functions run in a thread, as in the notebook: a slow one never blocks the loop."""
    code = set(plan.graph.code)
    if not expression.called(ast.unparse(tree)) & code:
        return tree
    match tree:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords) if name in code:
            if inspect.iscoroutinefunction(plan.namespace.get(name)):
                return ast.Await(tree)
            thread = ast.Attribute(ast.Name("asyncio"), "to_thread")
            return ast.Await(ast.Call(thread, [tree.func, *args], keywords))
    return expressions.read(f"await asyncio.to_thread(lambda: {ast.unparse(tree)})")


def _approve(plan: Plan, node: Approve) -> list[str]:
    arguments = [plan.variable[n] for n in prompts.read_by(plan, node)]
    lines = call(f"    question = {plan.function[node.name]}_question(", arguments, ")")
    lines += call("    answer = interrupt({", [f'"step": {literal(node.name)}', '"question": question'], "})")
    return [*lines, *_returned(plan, node, ["answer"])]


def _tools(plan: Plan, node: Tools) -> list[str]:
    return [
        f'    calls = state["{node.transcript}"][-1]["tool_calls"]',
        "    replies = await asyncio.gather(*map(use_tool, calls))",
        *_returned(plan, node, [], more=[f'"{node.transcript}": list(replies)']),
    ]
