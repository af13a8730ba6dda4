"""A Microsoft 365 in a box: login, Exchange audit search and mailbox, for demo and tests.

It shares no code with the service that it tests: a misreading must not cancel itself out.
"""

from sandbox.app import Sandbox
from sandbox.client import Control, ControlRefused

__all__ = ["Control", "ControlRefused", "Sandbox"]
