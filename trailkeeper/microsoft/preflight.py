"""What the preflight checks of all sources share: the certificate, the sign-in, the order.

identity-and-exchange.md, section 6.5. Claims are read for diagnosis only; what counts is what the
service answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from trailkeeper.errors import TrailkeeperError, Transient
from trailkeeper.microsoft.certificates.loading import load_certificate
from trailkeeper.microsoft.identity.token_source import TokenSource
from trailkeeper.microsoft.identity.tokens import claims
from trailkeeper.ports.clock import Clock
from trailkeeper.ports.source import Check
from trailkeeper.settings import Settings, TenantSettings


@dataclass(frozen=True, slots=True)
class SignIn:
    """The certificate and the sign-in of one tenant to one service, checked anew.

    Nothing is changed, except that the tenant's token is asked for again.
    """

    settings: Settings
    tenant: TenantSettings
    tokens: TokenSource
    clock: Clock

    def certificate(self) -> Check:
        """At least one of the configured certificates can be used; all are told."""
        now = self.clock.now()
        chosen = [c for c in (self.tenant.certificate, self.tenant.next_certificate) if c]
        told: list[str] = []
        errors: list[TrailkeeperError] = []
        for each in chosen:
            try:
                found = load_certificate(each, self.settings, now, self.tenant)
            except TrailkeeperError as error:
                errors.append(error)
            else:
                told.append(f"{found.thumbprint_sha1}, valid until {found.not_after:%Y-%m-%d}")
        if not told:
            raise errors[0]
        told += [f"of no use: {error.summary}" for error in errors]
        return Check("", True, "; ".join(told))

    def token(self, audience: str, into: dict[str, object]) -> Check:
        """A token of this minute: role and consent reach only new ones (section 2.2).

        Its claims go into `into`; none where the token cannot be read.
        """
        self.tokens.drop(self.tenant, audience)
        into.update(claims(self.tokens.get(self.tenant, audience)))
        used = self.tokens.thumbprint_in_use(self.tenant)
        return Check("", True, f"Entra issued a token for {audience} to {used or 'the app'}")


Step = tuple[str, Callable[[], Check]]


def in_order(steps: Iterable[Step]) -> Iterator[Check]:
    """The checks one after another, up to the first that fails or that could not be asked."""
    for name, step in steps:
        check = tried(name, step)
        yield check
        if check.passed is False or (check.passed is None and check.remedy):
            return


def tried(name: str, step: Callable[[], Check]) -> Check:
    """The check's outcome under its name; an error of ours fails it, trouble on the way leaves it
    open.

    An open check carries a remedy only when nothing could be asked.
    """
    try:
        return replace(step(), name=name)
    except Transient as error:
        said = f"could not be asked: {error.summary}"
        return Check(name, None, said, "Check the network and try again later.")
    except TrailkeeperError as error:
        code = f" [{error.code}]" if error.code and error.code not in error.summary else ""
        return Check(name, False, f"{error.summary}{code}", error.remedy)


def texts(value: object) -> set[str]:
    """The texts of a claim that should be a list; none where it is not."""
    return {str(item) for item in value} if isinstance(value, list) else set()


def roles(said: Mapping[str, object]) -> set[str]:
    """The application permissions that a token carries."""
    return texts(said.get("roles"))
