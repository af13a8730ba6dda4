from __future__ import annotations

import codecs
import zipfile
from dataclasses import replace
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from io import BytesIO
from pathlib import Path
from typing import cast

import pytest

from tests.mail.reports import CSV, HOSTILE, MONTH, figures, month_report, write_csv
from trailkeeper.errors import DeliveryRefused
from trailkeeper.mail.message import compose, content_id
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.model.report import Delivery
from trailkeeper.settings.addresses import AddressError, Mailbox

SENDER = Mailbox.parse("Audit reports <audit@msp.example>")
TO = [Mailbox.parse("security@contoso.example"), Mailbox.parse("ciso@contoso.example")]


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    rendered = ReportRenderer().render(month_report(figures()), tmp_path, write_csv)
    return Delivery(
        outbox_id=7,
        tenant="contoso",
        month=MONTH,
        message_id="<contoso.2026-10.1@trailkeeper.example>",
        recipients=tuple(mailbox.address for mailbox in TO),
        rendered=rendered,
        attempt=1,
        epoch=1,
    )


def _parsed(content: bytes) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(content, policy=default))


def _shape(part: EmailMessage) -> object:
    if not part.is_multipart():
        return part.get_content_type()
    return (part.get_content_subtype(), [_shape(cast(EmailMessage, p)) for p in part.iter_parts()])


def test_message_has_alternatives_image_and_attachment_in_their_places(delivery: Delivery) -> None:
    """Text and HTML are alternatives, the chart belongs to the HTML, the zip to the whole."""
    message = _parsed(compose(delivery, SENDER, TO))
    related = ("related", ["text/html", "image/png"])
    assert _shape(message) == (
        "mixed",
        [("alternative", ["text/plain", related]), "application/zip"],
    )
    assert not [part.defects for part in message.walk() if part.defects]


def test_headers_say_who_what_when_and_that_a_machine_wrote(delivery: Delivery) -> None:
    """From, To, Subject, Date, Message-ID and the marks of automatic mail."""
    message = _parsed(compose(delivery, SENDER, TO))
    assert message["From"] == "Audit reports <audit@msp.example>"
    assert message["To"] == "security@contoso.example, ciso@contoso.example"
    assert message["Subject"] == "Microsoft 365 audit report — contoso — October 2026 — complete"
    assert message["Date"].datetime == delivery.rendered.rendered_at
    assert message["Message-ID"] == "<contoso.2026-10.1@trailkeeper.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Trailkeeper-Report"] == "contoso/2026-10"


def test_image_of_the_html_is_in_the_message(delivery: Delivery) -> None:
    """The Content-ID that the HTML names is that of the chart, byte for byte."""
    message = _parsed(compose(delivery, SENDER, TO))
    (image,) = (part for part in message.walk() if part.get_content_type() == "image/png")
    (html,) = (part for part in message.walk() if part.get_content_type() == "text/html")
    cid = image["Content-ID"].strip("<>")
    assert f'src="cid:{cid}"' in html.get_content()
    assert image.get_content() == Path(delivery.rendered.images[0].path).read_bytes()


def test_attached_zip_gives_the_same_rows(delivery: Delivery) -> None:
    """What a receiver unpacks is what the lake wrote."""
    (attached,) = _parsed(compose(delivery, SENDER, TO)).iter_attachments()
    assert attached.get_filename() == "contoso-2026-10.csv.zip"
    with zipfile.ZipFile(BytesIO(attached.get_content())) as bundle:
        assert bundle.read("contoso-2026-10.csv") == codecs.BOM_UTF8 + CSV


def test_bodies_arrive_unchanged(delivery: Delivery) -> None:
    """Dashes, dots at line starts and long lines survive the encoding."""
    text = delivery.rendered.text + "\n.\n..dots\nFrom here\n" + "long " * 400 + "\n"
    changed = replace(delivery, rendered=replace(delivery.rendered, text=text))
    message = _parsed(compose(changed, SENDER, TO))
    for kind, sent in (("plain", text), ("html", delivery.rendered.html)):
        body = cast(EmailMessage, message.get_body((kind,)))
        assert body.get_content().replace("\r\n", "\n") == sent


def test_every_try_sends_the_same_bytes(delivery: Delivery) -> None:
    """Neither the clock nor chance nor the number of the try changes the message."""
    again = replace(delivery, attempt=5, epoch=9)
    assert compose(again, SENDER, TO) == compose(delivery, SENDER, TO)


def test_message_is_seven_bit_with_short_lines(delivery: Delivery) -> None:
    """Any server takes it: ASCII, CRLF, no line longer than 998 (RFC 5322, section 2.1.1)."""
    content = compose(delivery, SENDER, TO)
    assert content.isascii()
    assert content.count(b"\n") == content.count(b"\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_message_id_that_is_none_is_replaced_the_same_way_each_time(delivery: Delivery) -> None:
    """A broken Message-ID becomes a valid one that does not change between tries."""
    broken = replace(delivery, message_id="a b\r\nBcc: x@evil.example")
    ids = {_parsed(compose(broken, SENDER, TO))["Message-ID"] for _ in range(2)}
    assert len(ids) == 1
    assert ids.pop().endswith("@msp.example>")
    bare = replace(delivery, message_id="contoso.2026-10")
    assert _parsed(compose(bare, SENDER, TO))["Message-ID"] == "<contoso.2026-10@msp.example>"


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_adds_a_header(delivery: Delivery, text: str) -> None:
    """Whatever stands in subject or tenant, the message has the same headers."""
    hostile = replace(delivery, tenant=text, rendered=replace(delivery.rendered, subject=text))
    before, after = (_parsed(compose(d, SENDER, TO)) for d in (delivery, hostile))
    assert after.keys() == before.keys()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "@example.com",
        "a@",
        "a@b.example\r\nBcc: c@d.example",
        "a@b.example, c@d.example",
        "a@b.example c@d.example",
        "a..b@c.example",
        "ü@b.example",
        "a@-b.example",
        "a@b..example",
        "a@b.example\u202e",
        "Name <a@b.example> <c@d.example>",
        "a@" + "b" * 64 + ".example",
    ],
)
def test_text_that_is_not_one_address_is_refused(text: str) -> None:
    """Line breaks, lists, and letters that SMTP cannot carry are no address."""
    with pytest.raises(AddressError):
        Mailbox.parse(text)


def test_addresses_with_name_and_international_domain_are_read() -> None:
    """A display name is kept, quoted when it must be; a domain becomes its ASCII form."""
    mailbox = Mailbox.parse('"Müller, Anna" <anna+audit@müller.example>')
    assert mailbox.address == "anna+audit@xn--mller-kva.example"
    assert (
        str(Address(display_name=mailbox.name, addr_spec=mailbox.address))
        == '"Müller, Anna" <anna+audit@xn--mller-kva.example>'
    )


def test_missing_file_of_the_report_is_refused_with_the_command_to_repeat(
    delivery: Delivery,
) -> None:
    """A report whose files were deleted cannot be sent, and the operator reads how to mend it."""
    Path(delivery.rendered.attachments[0].path).unlink()
    with pytest.raises(DeliveryRefused) as caught:
        compose(delivery, SENDER, TO)
    assert "trailkeeper report --tenant contoso --month 2026-10 --send" in caught.value.remedy


def test_content_id_is_one_token() -> None:
    """Spaces and brackets of a file name cannot break the Content-ID."""
    assert content_id("my <chart>.png") == "my__chart_.png@trailkeeper"
