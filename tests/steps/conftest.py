"""What the tests of several steps stand on."""

from tests.servers.databases import ledger, sqlite_template

__all__ = ["ledger", "sqlite_template"]
