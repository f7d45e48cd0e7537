"""Addresses of OpenAI-compatible endpoints, and the environment variables that every OpenAI client reads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

KEY_ENV = "OPENAI_API_KEY"
BASE_ENV = "OPENAI_BASE_URL"
OPENAI = "https://api.openai.com/v1"
_VENDORS = {  # by the end of the host's name
    "api.openai.com": "openai",
    "openai.azure.com": "azure",
    "services.ai.azure.com": "azure",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "aiplatform.googleapis.com": "vertex",
    "amazonaws.com": "bedrock",
    "api.mistral.ai": "mistral",
    "api.groq.com": "groq",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "openrouter.ai": "openrouter",
    "api.deepseek.com": "deepseek",
    "api.llmgateway.io": "llmgateway",
    "api.x.ai": "xai",
    "api.perplexity.ai": "perplexity",
    "api.cohere.ai": "cohere",
    "api.cohere.com": "cohere",
    "api.moonshot.ai": "moonshot",
    "api.moonshot.cn": "moonshot",
    "api.fireworks.ai": "fireworks",
    "api.cerebras.ai": "cerebras",
    "api.deepinfra.com": "deepinfra",
    "integrate.api.nvidia.com": "nvidia",
    "huggingface.co": "huggingface",
    "dashscope.aliyuncs.com": "alibaba",
    "dashscope-intl.aliyuncs.com": "alibaba",
}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def base(environ: Mapping[str, str]) -> str:
    """The base URL of endpoint "openai": OPENAI_BASE_URL, or else OpenAI's own."""
    return environ.get(BASE_ENV, "").strip() or OPENAI


def at_openai(base_url: str) -> bool:
    """Whether the address is OpenAI's own, whose models and parameters are known."""
    return _hostname(base_url) == _hostname(OPENAI)


def on_loopback(base_url: str) -> bool:
    """Whether the address is on this machine, where servers rarely ask for a key."""
    return _hostname(base_url) in _LOOPBACK


def shown(base_url: str) -> str:
    """The address without user, password and query, for messages."""
    place = _netloc(base_url)
    return f"{urlsplit(base_url).scheme}://{place}{urlsplit(base_url).path}" if place else base_url


@lru_cache(maxsize=256)
@lru_cache(maxsize=64)
def vendor(provider: str, base_url: str | None) -> str:
    """Who answers: the vendor of a known address, else host and port; a provider that is no address keeps its name."""
    if provider != "openai":
        return provider
    place = _hostname(base_url or OPENAI)
    known = next((name for end, name in _VENDORS.items() if place == end or place.endswith(f".{end}")), None)
    return known or host(str(base_url))


def host(base_url: str) -> str:
    """Host and port of an address; the text itself if it has none."""
    return _netloc(base_url) or base_url


def is_address(base_url: str) -> bool:
    """Whether it is a valid address: http or https, a host, and a valid port."""
    try:
        parts = urlsplit(base_url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port beyond 65535, half an IPv6 address
        return False


@lru_cache(maxsize=256)
def _hostname(base_url: str) -> str:
    # urlsplit's .hostname raises for invalid addresses, such as "http://[::1"
    name = _netloc(base_url)
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0].lower()


@lru_cache(maxsize=256)
def _netloc(base_url: str) -> str:
    try:
        return urlsplit(base_url).netloc.rpartition("@")[2]
    except ValueError:
        return ""
