"""Answers in a real Redis: JSON, forgotten by the server in time, nobody else's keys; whatever breaks is a warning and a miss."""

import contextlib
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager

import pytest

pytest.importorskip("redis")

from redis_server import needs_redis, served

from orchmagic.errors import SettingsError
from orchmagic.models.cache import CACHES, CacheWarning, at
from orchmagic.models.cache.stores.disk import DiskCache
from orchmagic.models.cache.stores.redis import RedisCache

pytestmark = [pytest.mark.slow, needs_redis]
KEY = "orchmagic:answer:a"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def opened(url, clock=None):
    cache = RedisCache(url, clock or Clock())
    try:
        yield cache
    finally:
        cache.close()


@pytest.fixture
def cache(server):
    with opened(server.url) as made:
        yield made


@pytest.mark.parametrize("value", [{}, {"a": [1, None, "ü\ud800"]}, {"text": "x" * 50_000}])
def test_what_is_stored_comes_back_to_any_client(cache, server, value):
    cache.set("a", value)
    assert cache.get("a") == value
    with opened(f"unix://{server.socket}") as other:
        assert other.get("a") == value
        other.delete("a")
    assert cache.get("a") is None


@pytest.mark.parametrize("scheme", ["redis", "valkey", "REDIS"])
def test_a_url_says_which_server_and_database(server, scheme):
    made = at(f"{scheme}://127.0.0.1:{server.port}/3", server.folder)
    made.set("a", {})
    with server.inside as inside:
        assert inside.info("keyspace").keys() == {"db3"}
    assert made.stats()["path"] == f"{scheme.lower()}://127.0.0.1:{server.port}/3"
    made.close()


def test_without_a_url_answers_are_on_the_disk(tmp_path):
    assert isinstance(at(None, tmp_path), DiskCache)
    assert CACHES.get("redis").schemes


def test_the_server_itself_forgets_in_time(cache, server):
    cache.set("a", {}, ttl=86400)
    cache.set("b", {})
    cache.set("c", {}, ttl=0.0001)  # no time at all is an error to the server
    cache.set("d", {})
    cache.set("d", {}, ttl=-1)
    with server.inside as inside:
        assert 86_300_000 < inside.pttl(KEY) <= 86_400_000
        assert inside.pttl("orchmagic:answer:b") == -1
        assert not inside.exists("orchmagic:answer:d")
        inside.pexpireat(KEY, 1)  # its time is over
    assert cache.get("a") is None


def test_only_our_own_keys_are_counted_and_removed(cache, server):
    with server.inside as inside:
        inside.mset({"theirs": "1", "orchmagic:other": "2", "xorchmagic:answer:a": "3"})
        for number in range(2500):  # more than are removed at once
            cache.set(str(number), {"n": number})
        stats = cache.stats()
        assert (stats["entries"], stats["path"]) == (2500, f"redis://127.0.0.1:{server.port}/0")
        assert stats["bytes"] == sum(len(f'{{"n": {n}}}') for n in range(2500))
        assert cache.clear() == 2500
        assert sorted(inside.keys()) == ["orchmagic:other", "theirs", "xorchmagic:answer:a"]
    assert cache.stats()["entries"] == 0
    assert cache.clear() == 0


@pytest.mark.parametrize(
    "text", ["", "no json", "[1]", '"text"', "[" * 100_000, b"\x80\x04\x95pickle", '{"a": \xff'],
)  # fmt: skip
def test_a_planted_value_is_a_warning_and_a_miss(cache, server, text):
    with server.inside as inside:
        inside.set(KEY, text)
    with pytest.warns(CacheWarning, match="cannot be read") as seen:
        assert cache.get("a") is None
    assert cache.get("a") is None
    assert len(seen) == 1  # told once
    cache.set("a", {"x": 1})
    assert cache.get("a") == {"x": 1}


def test_a_key_of_another_kind_is_a_warning_and_a_miss(cache, server):
    with server.inside as inside:
        inside.rpush(KEY, "a", "b")
    with pytest.warns(CacheWarning, match="cannot be read .WRONGTYPE"):
        assert cache.get("a") is None
    assert cache.stats()["entries"] == 0  # it is no answer; but it is in our place, and goes
    cache.set("a", {})
    assert cache.get("a") == {}


def test_a_full_server_is_a_warning(cache, server):
    with server.inside as inside:
        cache.set("a", {"x": 1})
        inside.config_set("maxmemory", 1)
        try:
            with pytest.warns(CacheWarning, match="cannot be written"):
                cache.set("b", {})
            assert cache.get("a") == {"x": 1}  # what is there is served
        finally:
            inside.config_set("maxmemory", 0)


def test_a_server_that_is_gone_is_told_once_left_alone_and_found_again():
    clock = Clock()
    with served("--appendonly", "yes", "--appendfsync", "always") as server, opened(server.url, clock) as cache:
        cache.set("a", {"x": 1})
        server.kill()
        with pytest.warns(CacheWarning, match=f"redis://127.0.0.1:{server.port}/0 cannot be used") as seen:
            found = [(cache.get("a"), cache.set("b", {})) for _ in range(3)]
        assert found == [(None, None)] * 3
        assert len(seen) == 1
        server.start()
        assert cache.get("a") is None  # not asked yet
        clock.now += 5
        assert cache.get("a") == {"x": 1}
        assert cache.get("b") is None
        server.kill()
        with pytest.warns(CacheWarning, match="cannot be used"):  # a second time is told again
            assert cache.get("a") is None


def test_a_connection_that_the_server_closed_is_no_trouble(cache, server):
    cache.set("a", {"x": 1})
    with server.inside as inside:
        for client in inside.client_list(_type="normal"):
            if client["addr"].startswith("127."):
                inside.client_kill(client["addr"])
    assert cache.get("a") == {"x": 1}


def test_a_server_that_hangs_costs_one_wait(cache, server):
    cache.set("a", {"x": 1})
    with server.frozen():
        started = time.perf_counter()
        with pytest.warns(CacheWarning, match="cannot be used"):
            assert cache.get("a") is None
        first = time.perf_counter() - started
        for _ in range(100):
            assert cache.get("a") is None
        assert 0.5 < first < 10
        assert time.perf_counter() - started - first < 20  # a hundred waits take more than that
    cache._clock.now += 5
    assert cache.get("a") == {"x": 1}


def test_an_address_that_takes_the_call_and_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as mute, opened(f"redis://127.0.0.1:{mute.getsockname()[1]}") as cache:
        with pytest.warns(CacheWarning, match="cannot be used"):
            assert cache.get("a") is None
        with pytest.raises(SettingsError, match="ORCHMAGIC_CACHE_URL"):
            cache.stats()


def test_a_name_that_nobody_resolves_is_not_waited_for(server, monkeypatch):
    known, resolve = threading.Event(), socket.getaddrinfo

    def slowly(host, *more, **named):
        known.wait(60)
        return resolve(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    clock = Clock()
    with opened(server.url, clock) as cache:
        with pytest.warns(CacheWarning, match="TimeoutError"):
            assert cache.get("a") is None
        known.set()
        clock.now += 5
        cache.set("a", {"x": 1})
        assert cache.get("a") == {"x": 1}


def test_something_else_that_answers_there_is_a_warning_and_a_miss():
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer():
            with contextlib.suppress(OSError):  # the test is over
                while True:
                    with web.accept()[0] as connection:
                        connection.recv(1000)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            with opened(f"redis://127.0.0.1:{web.getsockname()[1]}") as cache, pytest.warns(CacheWarning):
                assert cache.get("a") is None
        finally:
            web.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_closing_twice_is_fine_and_use_opens_again(cache, server):
    cache.set("a", {})
    cache.close()
    cache.close()
    with server.inside as inside:
        assert [c for c in inside.client_list() if c["addr"].startswith("127.")] == []
    assert cache.get("a") == {}


HAMMER = """
import sys, threading
from orchmagic.models.cache.stores.redis import RedisCache
cache = RedisCache(sys.argv[1])
def work(number):
    for turn in range(50):
        name = f"{sys.argv[2]}-{number}-{turn}"
        cache.set(name, {"name": name})
        assert cache.get(name) == {"name": name}
        cache.set("shared", {"name": name, "text": name * 1000})
        found = cache.get("shared")
        assert found["text"] == found["name"] * 1000
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
"""


def test_threads_and_processes_lose_nothing(cache, server):
    command = [sys.executable, "-W", "error", "-c", HAMMER, server.url]
    running = [subprocess.Popen([*command, str(n)], stderr=subprocess.PIPE, text=True) for n in range(3)]
    for process in running:
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0
    names = [f"{p}-{n}-{turn}" for p in range(3) for n in range(4) for turn in range(50)]
    assert [name for name in names if cache.get(name) != {"name": name}] == []
    assert cache.stats()["entries"] == len(names) + 1


def test_many_threads_whose_server_is_down_wait_together(server):
    with socket.create_server(("127.0.0.1", 0)) as mute, opened(f"redis://127.0.0.1:{mute.getsockname()[1]}") as cache:
        threads = [threading.Thread(target=cache.get, args=(str(n),)) for n in range(16)]
        started = time.perf_counter()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert time.perf_counter() - started < 12  # sixteen waits take more than that
        assert len(seen) == 1
