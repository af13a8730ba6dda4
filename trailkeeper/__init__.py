"""The Microsoft 365 unified audit log of every tenant, each record once or a named gap."""

__version__ = "0.1.0"
