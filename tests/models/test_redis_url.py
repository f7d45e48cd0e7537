"""The URL of the shared cache: what is wrong with it is one line, and what is secret in it is never shown."""

import json
import shutil
import subprocess

import pytest

pytest.importorskip("redis")

from redis_server import needs_redis, served

from orchmagic.errors import SettingsError
from orchmagic.models.cache import CacheWarning, at
from orchmagic.models.cache.stores.redis import RedisCache, _place
from orchmagic.notebook.commands.cache_admin import cache as cache_command
from orchmagic.notebook.doctor import checks

ONE = "%%chain one\na\n    A\n"


def use(notebook, url):
    notebook.session.services.environ.update({"ORCHMAGIC_CACHE_URL": url})
    notebook.session.reload()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://cache.example", "redis://cache.example:6379/0"),
        ("redis://me:s3cret@cache.example:7000/4", "redis://cache.example:7000/4"),
        ("rediss://:s3cret@cache.example", "rediss://cache.example:6379/0"),
        ("redis://[::1]:7000?password=s3cret", "redis://[::1]:7000/0"),
        ("unix:///run/redis.sock?password=s3cret&db=2", "unix:///run/redis.sock"),
        ("unix://me:s3cret@/run/redis.sock", "unix:///run/redis.sock"),
        ("valkey://me:s%2F3@cache.example", "valkey://cache.example:6379/0"),
    ],
)
def test_the_place_is_shown_without_what_is_secret(url, place):
    assert _place(url) == place
    RedisCache(url).close()


# the last part of a password that holds / # ? @ must not be taken for a host, a port or an option
WRONG = [
    "redis://me:s3cret@", "redis://me:s3cret@host:port", "redis://me:s3c/ret@host", "redis://me:s3c#ret@host",
    "redis://me:s3c?ret@host", "redis://me:s3c@ret@host", "redis://me:12#s3cret", "redis://me:s3[cret@host",
    "redis://host/s3cret", "redis://host?s3cret=1", "redis://host?db=s3cret", "redis://host:99999999?password=s3cret",
    "unix://s3cret", "unix://", "redis://", "s3cret", "http://me:s3cret@host", "postgresql://me:s3cret@host/x", "s3cret@host:1",
    "redis:s3cret", "redis://ho st:s3cret", "redis://host?protocol=s3cret", "redis://host?socket_timeout=s3cret",
]  # fmt: skip


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_url_is_one_clear_line_before_any_model_is_asked(notebook, url):
    notebook.script("one")
    use(notebook, url)
    with pytest.raises(SettingsError) as caught:
        notebook.run(ONE)
    said = str(caught.value)
    assert "cache_url" in said
    assert "redis://" in said
    assert "\n" not in said
    assert "s3c" not in said
    assert "ret" not in said.replace("written", "")
    assert notebook.prompts == []


def test_none_is_the_folder(notebook):
    use(notebook, "none")
    assert notebook.session.services.caches.answers.stats()["path"].startswith("/")


@pytest.fixture
def notebook(notebook, tmp_path):
    """Everything it writes is in its `folder`."""
    notebook.folder = tmp_path
    history = {"ORCHMAGIC_HISTORY_DIR": str(tmp_path / "history")}
    notebook.session.services.environ.update({**history})
    notebook.session.reload()
    return notebook


def shown(notebook):
    """A run, and all that a person could look at after it: its views, what was said, every file that was written."""
    run = notebook.run(ONE)
    assert run.output == "one"
    files = [file.read_bytes().decode("latin-1") for file in notebook.folder.rglob("*") if file.is_file()]
    assert files
    seen = [repr(run), str(run.receipt()), json.dumps(run.record.to_json()), *notebook.said, *files]
    return "\n".join([*seen, cache_command(notebook.session), repr(notebook.session.services.caches.answers)])


@needs_redis
def test_a_wrong_password_is_a_warning_that_does_not_tell_it(notebook):
    with served("--requirepass", "right-one") as server:
        use(notebook, f"redis://:s3cret@127.0.0.1:{server.port}")
        notebook.script("one")
        with pytest.warns(CacheWarning, match="cannot be used") as seen:
            assert notebook.run(ONE).output == "one"
        assert len(seen) == 1
        (check,) = [c for c in checks(notebook.session) if c.what == "shared cache"]
        assert not check.fine
        assert "ORCHMAGIC_CACHE_URL" in check.found
        with pytest.raises(SettingsError) as caught:
            notebook.session.services.caches.answers.clear()
        said = f"{seen[0].message} {check.found} {caught.value}"
        assert "s3cret" not in said
        assert "invalid" in said
        notebook.session.close()


@needs_redis
def test_the_right_password_opens_and_is_shown_nowhere(notebook):
    with served("--requirepass", "s3/cr@et") as server:
        use(notebook, f"redis://:s3%2Fcr%40et@127.0.0.1:{server.port}/1")
        notebook.script("one")
        notebook.run(ONE)
        everything = shown(notebook)
        assert notebook.prompts == ["A"]
        assert f"1 answer, 0 kB in redis://127.0.0.1:{server.port}/1" in everything
        assert [secret for secret in ("s3/cr", "s3%2F", "cr@et", "cr%40et") if secret in everything] == []
        (check,) = [c for c in checks(notebook.session) if c.what == "shared cache"]
        assert check.fine
        assert check.found == f"redis://127.0.0.1:{server.port}/1, 1 answers"
        notebook.session.close()


@needs_redis
def test_a_user_with_few_rights_is_enough(notebook):
    with served() as server:
        with server.inside as inside:
            allowed = ["+ping", "+get", "+set", "+unlink", "+scan", "+strlen"]
            inside.acl_setuser("nb", enabled=True, passwords=["+pw"], keys=["orchmagic:answer:*"], commands=allowed)
        cache = at(f"redis://nb:pw@127.0.0.1:{server.port}", server.folder)
        cache.set("a", {"x": 1}, ttl=60)
        assert cache.get("a") == {"x": 1}
        assert cache.stats()["entries"] == 1
        assert cache.clear() == 1
        cache.close()


@needs_redis
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_an_encrypted_connection_checks_the_certificate(tmp_path):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key", "-out", "cert", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    files = ["--tls-cert-file", f"{tmp_path}/cert", "--tls-key-file", f"{tmp_path}/key", "--tls-auth-clients", "no"]
    with served() as free:
        port = free.port  # nobody else has it while we look
    with served("--tls-port", str(port), "--tls-ca-cert-file", f"{tmp_path}/cert", *files):
        trusting = RedisCache(f"rediss://127.0.0.1:{port}?ssl_ca_certs={tmp_path}/cert")
        trusting.set("a", {"x": 1})
        assert trusting.get("a") == {"x": 1}
        trusting.close()
        strict = RedisCache(f"rediss://127.0.0.1:{port}")
        with pytest.warns(CacheWarning, match="certificate"):
            assert strict.get("a") is None
        strict.close()
