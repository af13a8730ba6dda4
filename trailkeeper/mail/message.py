"""One delivery as one MIME message, the same bytes for every try.

    multipart/mixed
      multipart/alternative
        text/plain
        multipart/related
          text/html
          image/png        Content-ID: what `cid:` in the HTML names
      application/zip

`compose` knows nothing of how the message travels: SMTP takes its bytes, Graph's sendMail takes the
same bytes in base64 (management-api-and-graph.md, section 4.1).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from trailkeeper.errors import DeliveryRefused
from trailkeeper.model.report import Attachment, Delivery
from trailkeeper.settings.addresses import Mailbox

_POLICY = SMTP.clone(cte_type="7bit", max_line_length=78)  # no server need offer 8BITMIME

_SUBJECT_LIMIT = 200
_MESSAGE_ID = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,128}@[A-Za-z0-9.\[\]-]{1,128}")


def content_id(file_name: str) -> str:
    """What `cid:` in the HTML names, for the image stored under `file_name`."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', file_name)}@trailkeeper"


def compose(delivery: Delivery, sender: Mailbox, recipients: Sequence[Mailbox]) -> bytes:
    """The whole message with CRLF line ends, 7-bit clean.

    Raises `DeliveryRefused` when a file of the report is gone.
    """
    message = EmailMessage(policy=_POLICY)
    _address(message, delivery, sender, recipients)
    _fill(message, delivery)
    _bound(message, delivery)
    return message.as_bytes()


def _address(
    message: EmailMessage, delivery: Delivery, sender: Mailbox, recipients: Sequence[Mailbox]
) -> None:
    rendered = delivery.rendered
    message["From"] = _header(sender)
    message["To"] = [_header(mailbox) for mailbox in recipients]
    message["Subject"] = _one_line(rendered.subject, _SUBJECT_LIMIT)
    if rendered.rendered_at is not None:
        message["Date"] = format_datetime(rendered.rendered_at)
    message["Message-ID"] = message_id(delivery, sender)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers, please
    message["X-Auto-Response-Suppress"] = "All"  # the same for Exchange, [MS-OXCMAIL] 2.2.3.2.14
    message["X-Trailkeeper-Report"] = _one_line(f"{delivery.tenant}/{delivery.month}", 100)


def _header(mailbox: Mailbox) -> Address:
    return Address(display_name=mailbox.name, addr_spec=mailbox.address)


def message_id(delivery: Delivery, sender: Mailbox) -> str:
    """`<…@…>` from the delivery; one that would not be valid is replaced by its digest."""
    bare = delivery.message_id.strip().removeprefix("<").removesuffix(">")
    bare = bare if "@" in bare else f"{bare}@{sender.domain}"
    if not _MESSAGE_ID.fullmatch(bare):
        bare = f"{_digest(delivery)}@{sender.domain}"
    return f"<{bare}>"


def _fill(message: EmailMessage, delivery: Delivery) -> None:
    rendered = delivery.rendered
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    html = list(message.iter_parts())[1]
    for image in rendered.images:
        _attach(html, image, delivery, inline=True)
    message.make_mixed()
    for file in rendered.attachments:
        _attach(message, file, delivery, inline=False)


def _attach(part: MIMEPart, file: Attachment, delivery: Delivery, *, inline: bool) -> None:
    path = Path(file.path)
    kind, _, subtype = file.media_type.partition("/")
    content = _read(path, delivery)
    if inline:
        cid = f"<{content_id(path.name)}>"
        part.add_related(content, kind, subtype, cid=cid, filename=path.name, disposition="inline")
    else:
        part.add_attachment(content, kind, subtype, filename=path.name)


def _read(path: Path, delivery: Delivery) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DeliveryRefused(
            f"the report file {path} cannot be read: {(error.strerror or str(error)).lower()}",
            resend(delivery),
        ) from error


def resend(delivery: Delivery) -> str:
    """The command that makes and sends this report again."""
    return (
        f"Render and send it again with `trailkeeper report --tenant {delivery.tenant} "
        f"--month {delivery.month} --send`."
    )


def _bound(message: EmailMessage, delivery: Delivery) -> None:
    """Boundaries from the delivery instead of random ones.

    `=_` occurs in neither base64 nor quoted-printable (RFC 2045, section 6.7), so that no content
    can hold one.
    """
    stem = _digest(delivery)
    several = (part for part in message.walk() if part.is_multipart())
    for index, part in enumerate(several):
        part.set_boundary(f"=_trailkeeper_{index}_{stem}")
    _only_once(message, "MIME-Version")


def _only_once(message: EmailMessage, header: str) -> None:
    """The email package writes MIME-Version into every part; it belongs at the top alone."""
    for part in message.walk():
        if part is not message:
            del part[header]


def _digest(delivery: Delivery) -> str:
    identity = f"{delivery.message_id}\n{delivery.tenant}\n{delivery.month}"
    return hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:32]


def _one_line(text: str, limit: int) -> str:
    """Without line ends, and without what the email package would decode as an encoded word: it
    may hold line ends of its own."""
    kept = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(kept.split()).replace("=?", "= ?")[:limit]
