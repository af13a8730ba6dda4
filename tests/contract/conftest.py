"""A fresh database of either kind, for the tests of whatever is kept in one."""

from tests.servers.databases import database_url, postgres, postgres_template, sqlite_template

__all__ = ["database_url", "postgres", "postgres_template", "sqlite_template"]
