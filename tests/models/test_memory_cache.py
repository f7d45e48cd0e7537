"""The cache in memory keeps copies, for a while, and not too many."""

from pathlib import Path

from orchmagic.models.cache import CACHES
from orchmagic.models.cache.stores.memory import MemoryCache


def test_the_registry_finds_the_caches():
    assert set(CACHES.names()) >= {"disk", "memory"}
    cache = CACHES.get("memory").create(Path())
    cache.set("a", {"x": 1})
    assert cache.get("a") == {"x": 1}


def test_memory_keeps_copies_drops_the_oldest_and_forgets():
    cache = MemoryCache(entries=2)
    value = {"list": [1]}
    cache.set("a", value)
    value["list"].append(2)
    cache.get("a")["list"].append(3)
    assert cache.get("a") == {"list": [1]}
    cache.set("b", {})
    cache.set("a", {})
    cache.set("c", {})
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ({}, None, {})
    cache.delete("a")
    assert cache.stats()["entries"] == 1
    assert cache.clear() == 1
    cache.close()
    assert cache.get("c") is None
