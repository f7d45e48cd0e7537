"""What the tests with a real Redis share."""

from redis_server import running, server  # noqa: F401 - fixtures
