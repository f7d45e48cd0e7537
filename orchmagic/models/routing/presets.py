"""Presets of well-known OpenAI-compatible endpoints, so that `groq/llama-3.1-8b-instant` names a model at one.

Addresses and variables are from the vendors' documentation (November 2026). A variable with an address overrides the
one here: `OLLAMA_HOST`, `AZURE_OPENAI_ENDPOINT`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from orchmagic.errors import SettingsError
from orchmagic.models.wire.urls import KEY_ENV, OPENAI, is_address


@dataclass(frozen=True, slots=True)
class Preset:
    """An endpoint. `path` is appended to the address in the variable `address_env`; loopback addresses need no key."""

    base_url: str | None
    key_env: str
    address_env: str | None = None
    path: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


PRESETS: Mapping[str, Preset] = {
    "openai": Preset(OPENAI, KEY_ENV),
    # its compatible endpoint ignores `response_format`
    "anthropic": Preset("https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", fields={"schemas": "none"}),
    "gemini": Preset(
        "https://generativelanguage.googleapis.com/v1beta/openai",
        "GEMINI_API_KEY",
        fields={"schemas_with_tools": False},
    ),
    "mistral": Preset("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    # "json mode cannot be combined with tool/function calling"
    "groq": Preset("https://api.groq.com/openai/v1", "GROQ_API_KEY", fields={"schemas_with_tools": False}),
    "together": Preset("https://api.together.ai/v1", "TOGETHER_API_KEY"),
    "openrouter": Preset("https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    # it answers a JSON schema with 400 ("This response_format type is unavailable now")
    "deepseek": Preset("https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", fields={"schemas": "json"}),
    "azure": Preset(
        None,
        "AZURE_OPENAI_API_KEY",
        "AZURE_OPENAI_ENDPOINT",
        "/openai/v1",
        {"max_tokens_field": "max_completion_tokens"},
    ),
    "llmgateway": Preset("https://api.llmgateway.io/v1", "LLM_GATEWAY_API_KEY"),
    "litellm": Preset("http://127.0.0.1:4000/v1", "LITELLM_API_KEY", "LITELLM_API_BASE", "/v1"),
    "ollama": Preset("http://127.0.0.1:11434/v1", "OLLAMA_API_KEY", "OLLAMA_HOST", "/v1"),
    "vllm": Preset("http://127.0.0.1:8000/v1", "VLLM_API_KEY"),
    "lmstudio": Preset("http://127.0.0.1:1234/v1", "LM_API_TOKEN"),
    "llamacpp": Preset("http://127.0.0.1:8080/v1", "LLAMA_API_KEY"),
}


def fields(name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """The Deployment fields of the preset `name`.

    Raises:
        SettingsError: the variable that holds its address is not set.
    """
    preset = PRESETS[name]
    return {"base_url": _address(name, preset, environ), "key_env": preset.key_env, **preset.fields}


def _address(name: str, preset: Preset, environ: Mapping[str, str]) -> str:
    address = environ.get(preset.address_env or "", "").strip().rstrip("/")
    if address:
        # Ollama's variable is its listening address too: it may be 0.0.0.0, or lack the port
        url = (address if "://" in address else f"http://{address}").replace("//0.0.0.0", "//127.0.0.1")
        if name == "ollama" and is_address(url) and urlsplit(url).port is None and "://" not in address:
            url += ":11434"
        return url if url.endswith("/v1") else url + preset.path
    if preset.base_url is None:
        example = "https://your-resource.openai.azure.com"
        raise SettingsError(f"endpoint {name!r} needs {preset.address_env}: set it to an address such as {example}")
    return preset.base_url
