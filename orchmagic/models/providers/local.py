"""The provider of the local model: needs no key and no network, and starts the model at the first request."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import replace

from orchmagic.models import ProviderPlug
from orchmagic.models.local_engine import engine, weights
from orchmagic.models.local_engine.engine import Endpoint
from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.types import Deployment, Emit, ModelRequest, ModelResponse


def say(text: str) -> None:
    """Print one line: in a kernel to stdout, since notebooks show stderr in red; else to stderr."""
    from IPython.core.getipython import get_ipython  # noqa: PLC0415 - first start of the model

    in_kernel = getattr(get_ipython(), "kernel", None) is not None
    print(text, file=sys.stdout if in_kernel else sys.stderr, flush=True)


class LocalProvider:
    """`deployment.model` is a name of `weights.json` or the path of a GGUF file; `notify` gets the loading line."""

    def __init__(self, notify: Callable[[str], None] = say) -> None:
        self.notify = notify
        self._keys: dict[str, str] = {}  # replaces the environment: each started model has its own key
        self._client = OpenAIProvider(environ=self._keys)
        self._slots = asyncio.Semaphore(engine.SLOTS)

    async def complete(self, request: ModelRequest, deployment: Deployment, emit: Emit) -> ModelResponse:
        """Call the model once. `request.timeout` bounds the answer, not loading and queueing."""
        async with self._slots:
            running = engine.running(deployment.model)
            if running is None:
                running = await asyncio.to_thread(engine.start, deployment.model, self.notify)
            self._keys[running.base_url] = running.api_key
            local = replace(deployment, base_url=running.base_url, key_env=running.base_url)
            return await self._client.complete(request, local, emit)

    async def close(self) -> None:
        """Stop the models of this process; the next request starts them again."""
        await self._client.close()
        self._keys.clear()
        engine.stop()  # not in a thread: at the interpreter's exit none can be started


def endpoint(model: str = weights.DEFAULT) -> Endpoint:
    """Return the endpoint of the local model (OpenAI protocol); starts it if it does not run.

    To let an exported module call it: `subprocess.run([...], env=os.environ | endpoint().env())`.
    """
    return engine.start(model, say)


plug = ProviderPlug("local", LocalProvider)
