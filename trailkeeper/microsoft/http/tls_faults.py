"""Why no TLS connection came about: each reason in its own sentence, with its own remedy."""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from trailkeeper.errors import ConfigurationError

UNTRUSTED = "tls-untrusted"
"""the code of a server whose TLS certificate our authorities did not sign"""
WRONG_HOST = "tls-wrong-host"
EXPIRED = "tls-expired"
NOT_YET_VALID = "tls-not-yet-valid"
REFUSED = "tls-refused"
NO_TLS = "tls-none"
CODES = frozenset({UNTRUSTED, WRONG_HOST, EXPIRED, NOT_YET_VALID, REFUSED, NO_TLS})

_TRUST = (
    "Add that authority to this system's store, or set ca_bundle of the cloud to a PEM file with "
    "it ([clouds.public] for the preset); verification stays on."
)
_PROXY = "if a proxy inspects TLS here, look at its certificate"

# Of OpenSSL: X509_V_ERR_… in x509_vfy.h.
_NOT_YET, _EXPIRED, _HOST, _ADDRESS = 9, 10, 62, 64
_SELF_SIGNED = frozenset({18, 19})
_NO_ISSUER = frozenset({2, 20, 21, 27})

# A record that is no TLS, as the versions of OpenSSL name it.
_NO_RECORDS = frozenset(
    {
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)


def tls_fault(chain: Iterable[BaseException], host: str) -> ConfigurationError | None:
    """Our error for the first of `chain` that tells why TLS with `host` failed; None for none."""
    for item in chain:
        if isinstance(item, ssl.SSLCertVerificationError):
            return _unverified(item, host)
        if isinstance(item, ssl.SSLError) and item.reason in _NO_RECORDS:
            return ConfigurationError(
                f"{host} does not speak TLS on this port",
                "Correct the port, or the scheme of HTTPS_PROXY if the proxy speaks plain HTTP.",
                NO_TLS,
            )
    return None


def _unverified(error: ssl.SSLCertVerificationError, host: str) -> ConfigurationError:
    number = getattr(error, "verify_code", 0)
    if number in (_HOST, _ADDRESS):
        return ConfigurationError(
            f"the TLS certificate of {host} is made out to another host",
            f"Correct the host in the cloud's section; {_PROXY}.",
            WRONG_HOST,
        )
    if number == _EXPIRED:
        return ConfigurationError(
            f"the TLS certificate of {host}, or one that it rests on, has expired",
            f"Check this machine's clock; {_PROXY}. Whoever runs the host has to renew it.",
            EXPIRED,
        )
    if number == _NOT_YET:
        return ConfigurationError(
            f"the TLS certificate of {host} is not valid yet",
            f"Check this machine's clock; {_PROXY}.",
            NOT_YET_VALID,
        )
    if number in _SELF_SIGNED:
        return ConfigurationError(
            f"the TLS certificate of {host} is not signed by a trusted authority: it ends in a "
            "self-signed one that is not in our store",
            _TRUST,
            UNTRUSTED,
        )
    if number in _NO_ISSUER:
        return ConfigurationError(
            f"the TLS certificate of {host} is not signed by a trusted authority: its issuer is "
            "not in our store",
            _TRUST,
            UNTRUSTED,
        )
    said = str(getattr(error, "verify_message", ""))[:100]
    return ConfigurationError(
        f"the TLS certificate of {host} was refused: {said or 'for a reason that is not told'}",
        f"Whoever runs the host has to mend it; {_PROXY}.",
        REFUSED,
    )
