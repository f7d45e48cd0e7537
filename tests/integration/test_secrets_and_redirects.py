"""Keys, redirects and broken environments, over real HTTP on loopback: nothing leaks, and each is one clear line."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from orchmagic.errors import ConnectionLost, ModelError, RequestRejected, SettingsError
from orchmagic.models.providers.openai import OpenAIProvider
from orchmagic.models.types import Deployment, ModelRequest

KEY = "sk-canary-0123456789"
ASK = ModelRequest("s#1.1", "m", ({"role": "user", "content": "hello"},))


class Server(ThreadingHTTPServer):
    """Answers each POST by `reply(headers)`: (status, headers, body). `seen` holds the headers of all requests."""

    daemon_threads = True

    def __init__(self, reply):
        self.reply, self.seen = reply, []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append((self.path, dict(self.headers)))
        status, headers, body = self.server.reply(self)
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


def good(text="fine"):
    return {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


@pytest.fixture
def serve():
    made = []

    def start(reply):
        made.append(Server(reply))
        return made[-1]

    yield start
    for server in made:
        server.shutdown()
        server.server_close()


async def ask(url, environ=None, **fields):
    provider = OpenAIProvider(environ={"OPENAI_API_KEY": KEY} if environ is None else environ)
    try:
        return await provider.complete(ASK, Deployment("m", "openai", "m", url, **fields), lambda _: None)
    finally:
        await provider.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_redirect_to_another_server_is_refused(serve, status, host):
    other = serve(lambda _: (200, {}, good()))
    target = f"http://{host}:{other.server_port}/v1/chat/completions"
    server = serve(lambda _: (status, {"location": target}, {}))
    with pytest.raises(RequestRejected, match="which is not followed: write that address as base_url") as failed:
        await ask(server.url)
    assert other.seen == []
    assert KEY not in str(failed.value)


async def test_a_redirect_on_the_same_server_is_followed(serve):
    def reply(handler):
        moved = "/moved" not in handler.path
        return (307, {"location": "/v1/moved"}, {}) if moved else (200, {}, good())

    assert (await ask(serve(reply).url)).text == "fine"


@pytest.mark.parametrize(
    "reply",
    [
        lambda h: (200, {}, good(f"you sent {h.headers['authorization']}")),
        lambda h: (401, {}, {"error": {"message": f"bad key {h.headers['authorization']}"}}),
        lambda h: (500, {}, {"error": {"message": h.headers["authorization"]}}),
        lambda h: (200, {}, [h.headers["authorization"]]),
        lambda h: (302, {"location": f"http://e.example/?k={h.headers['authorization']}"}, {}),
    ],
)
async def test_a_key_that_an_endpoint_echoes_is_replaced(serve, reply):
    try:
        said = (await ask(serve(reply).url)).text
    except ModelError as error:
        said = str(error)
    assert KEY not in said


@pytest.mark.parametrize(
    ("key", "fine"),
    [
        (f"{KEY}\n", True),
        (f"  {KEY} ", True),
        (f"{KEY}\nfoo", False),
        ("sk\u2013long-dash-0123456789", False),
        ("sk two words 0123456789", False),
        ("sk-\x1b[0m0123456789", False),
    ],
)
async def test_a_key_with_what_no_key_has_is_one_clear_line(serve, key, fine):
    server = serve(lambda _: (200, {}, good()))
    if fine:
        await ask(server.url, {"OPENAI_API_KEY": key})
        assert server.seen[0][1]["authorization"] == f"Bearer {KEY}"
        return
    with pytest.raises(SettingsError, match="OPENAI_API_KEY holds a space, a line end or a letter") as failed:
        await ask(server.url, {"OPENAI_API_KEY": key})
    assert "0123456789" not in str(failed.value)
    assert server.seen == []


async def test_the_names_of_an_openai_account_go_to_openai_only(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    server = serve(lambda _: (200, {}, good()))
    await ask(server.url)
    assert "secret" not in str(server.seen)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/nonexistent/ca.pem"),
        ("ALL_PROXY", "socks5://127.0.0.1:9"),
        ("ALL_PROXY", "socks://127.0.0.1:9"),
        ("HTTPS_PROXY", "http://127.0.0.1:99999"),
    ],
)
async def test_certificates_and_proxies_that_do_not_work_are_a_lost_connection(monkeypatch, name, value):
    """So that a fallback answers."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConnectionLost, match=r"mend SSL_CERT_FILE, HTTPS_PROXY|nothing answers at") as failed:
        await ask("https://llm.example.test/v1")
    assert failed.value.may_have_spent is False
    assert "\n" not in str(failed.value)
