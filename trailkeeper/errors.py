"""One tree of errors: the kind is in the type, the remedy in the text.

Every error carries what the operator needs (`summary`, `remedy`) and what the provider's support
asks for (`code`, `request_id`). All arguments are positional with defaults, so that an error
survives pickling across a process boundary unchanged.

Kinds, and what a caller does with each:

========================  =======================================================
`Transient`               try again later, with back-off
`Throttled`               try again after `retry_after` seconds; costs no attempt
`NeedsPerson`             park the tenant and show the remedy (exit code 20)
`Lost`                    the provider no longer has it; name the gap
`LeaseLost`               somebody else owns the work now; drop it silently
`ConfigurationError`      refuse to start (exit code 2)
`Unavailable`             something of ours is down: Redis, ledger, lake, mail
`DamagedLanding`          pull again what its file held; everybody else: `Unavailable`
`Bug`                     our mistake, and nothing that came from outside; fail loudly
========================  =======================================================
"""

from __future__ import annotations


class TrailkeeperError(Exception):
    """Base of all: `summary` says what happened, `remedy` what to do next (may be empty)."""

    def __init__(
        self, summary: str = "", remedy: str = "", code: str = "", request_id: str = ""
    ) -> None:
        super().__init__(summary, remedy, code, request_id)
        self.summary = summary
        self.remedy = remedy
        self.code = code
        self.request_id = request_id

    def __str__(self) -> str:
        text = self.summary
        if self.code and self.code not in text:
            text = f"{text} [{self.code}]"
        if self.remedy:
            text = f"{text.rstrip('.')}. {self.remedy}"
        return text


class Transient(TrailkeeperError):
    """The same request may succeed later."""


class Throttled(Transient):
    """The provider asks us to slow down for `retry_after` seconds, tenant-wide."""

    def __init__(
        self,
        summary: str = "",
        remedy: str = "",
        code: str = "",
        request_id: str = "",
        retry_after: float = 60.0,
    ) -> None:
        super().__init__(summary, remedy, code, request_id)
        self.args = (summary, remedy, code, request_id, retry_after)
        self.retry_after = retry_after


class NotFinished(Transient):
    """The provider still works on what was asked; worth asking again in `retry_after` seconds."""

    def __init__(
        self,
        summary: str = "",
        remedy: str = "",
        code: str = "",
        request_id: str = "",
        retry_after: float = 60.0,
    ) -> None:
        super().__init__(summary, remedy, code, request_id)
        self.args = (summary, remedy, code, request_id, retry_after)
        self.retry_after = retry_after


class AcceptanceLost(Transient):
    """The connection ended while a mail server had the whole message: it may have accepted it."""


class AnswerTooLarge(Transient):
    """An answer passed the size bound; a narrower question may fit."""


class NeedsPerson(TrailkeeperError):
    """Consent, role, certificate or auditing: nothing we retry will mend it."""


class Lost(TrailkeeperError):
    """The provider no longer answers for this time; `horizon`: its ISO 8601 limit if it said so."""

    def __init__(
        self,
        summary: str = "",
        remedy: str = "",
        code: str = "",
        request_id: str = "",
        horizon: str = "",
    ) -> None:
        super().__init__(summary, remedy, code, request_id)
        self.args = (summary, remedy, code, request_id, horizon)
        self.horizon = horizon


class LeaseLost(TrailkeeperError):
    """The lease's epoch moved on: another worker owns the segment or the merge."""


class ConfigurationError(TrailkeeperError):
    """The configuration cannot be used; the summary names file and key."""


class UsageError(TrailkeeperError):
    """The command was called with words that make no sense (exit code 2)."""


class Unavailable(TrailkeeperError):
    """One of our own parts is out of reach: Redis, ledger, lake, disk or mail."""


class DamagedLanding(Unavailable):
    """A landing file that is there, and is not what was written; `file`: its name."""

    def __init__(
        self,
        summary: str = "",
        remedy: str = "",
        code: str = "",
        request_id: str = "",
        file: str = "",
    ) -> None:
        super().__init__(summary, remedy, code, request_id)
        self.args = (summary, remedy, code, request_id, file)
        self.file = file


class DeliveryRefused(TrailkeeperError):
    """The mail server refused the message for good; sending it again changes nothing."""


class Bug(TrailkeeperError):
    """A case that should not exist. Shown with its code so that it can be reported."""
