"""Addresses: the mailbox that is written to is the one that a reader of the configuration sees."""

from __future__ import annotations

from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from tests.configured import settings_of
from tests.mail.reports import MONTH, figures, month_report, write_csv
from tests.servers.mailbox import mailbox
from trailkeeper.errors import ConfigurationError
from trailkeeper.mail.message import compose
from trailkeeper.mail.render import ReportRenderer
from trailkeeper.mail.smtp import SmtpMailer
from trailkeeper.model.report import Delivery, Rendered
from trailkeeper.settings import MailSettings, SmtpSettings, load
from trailkeeper.settings.addresses import AddressError, Mailbox

ENCODED = "=?utf-8?q?x=0D=0AX-Injected:_yes=0D=0ABcc:_boss=40evil.example?="

GOOD = {
    "security@contoso.example": "security@contoso.example",
    " Security <security@Contoso.example> ": "security@Contoso.example",
    "o'brien+audit@contoso.example": "o'brien+audit@contoso.example",
    '"Müller, Anna" <anna@müller.example>': "anna@xn--mller-kva.example",
    "it@straße.example": "it@xn--strae-oqa.example",
    "it@STRAßE.example": "it@xn--strae-oqa.example",
    "it@xn--strae-oqa.example": "it@xn--strae-oqa.example",
    "it@faß.de": "it@xn--fa-hia.de",
    "it@пример.example": "it@xn--e1afmkfd.example",
    "it@xn--pple-43d.example": "it@xn--pple-43d.example",
    "it@localhost": "it@localhost",
}

BAD = {
    "encoded word as name": f"{ENCODED} <security@contoso.example>",
    "encoded word as name, base64": "=?utf-8?b?DQpCY2M6IHhAZXZpbC5leGFtcGxl?= <it@contoso.example>",
    "encoded word in quotes": f'"{ENCODED}" <security@contoso.example>',
    "encoded word, full-width": "＝？utf-8?q?x?＝ <security@contoso.example>",
    "encoded word as local part": "=?utf-8?q?boss=40evil.example?=@contoso.example",
    "line end": "security@contoso.example\r\nBcc: boss@evil.example",
    "line feed in the name": "A\nB <security@contoso.example>",
    "vertical tab": "A\x0bB <security@contoso.example>",
    "line separator": "A\u2028B <security@contoso.example>",
    "next line": "A\x85B <security@contoso.example>",
    "NUL": "security\0@contoso.example",
    "quoted local part": '"security@contoso.example "@evil.example',
    "quoted blank": '"a b"@contoso.example',
    "comment": "security(@contoso.example)@evil.example",
    "comment behind": "security@contoso.example (boss@evil.example)",
    "comment as name": "Security (of Contoso) <security@contoso.example>",
    "group": "Team: security@contoso.example, boss@evil.example;",
    "two": "security@contoso.example, boss@evil.example",
    "two with a semicolon": "security@contoso.example; boss@evil.example",
    "two with a blank": "security@contoso.example boss@evil.example",
    "two in brackets": "<security@contoso.example> <boss@evil.example>",
    "an address as name": "security@contoso.example <boss@evil.example>",
    "an address as quoted name": '"security@contoso.example" <boss@evil.example>',
    "an address as name, full-width": "security＠contoso.example <boss@evil.example>",
    "backslash": '"a\\"b" <security@contoso.example>',
    "percent": "security%contoso.example@evil.example",
    "bang path": "evil.example!security@contoso.example",
    "source route": "<@evil.example:security@contoso.example>",
    "two at signs": "security@contoso.example@evil.example",
    "full-width at": "security＠contoso.example",
    "small at": "security﹫contoso.example",
    "full-width dot": "security@contoso．example",
    "ideographic dot": "security@contoso。example",
    "half-width dot": "security@contoso｡example",
    "full-width letters": "security@ｃontoso.example",
    "Kelvin": "it@\u212aontoso.example",
    "ligature": "it@ﬁrm.example",
    "soft hyphen": "security@con\u00adtoso.example",
    "zero width": "security@con\u200btoso.example",
    "joiner": "security@con\u200dtoso.example",
    "direction": "security@\u202econtoso.example",
    "isolate in the name": "\u2066Security <security@contoso.example>",
    "variation selector": "security@contoso\ufe0f.example",
    "Hangul filler": "security@contoso\u3164.example",
    "no-break space": "A\u00a0B <security@contoso.example>",
    "other letters, local part": "sеcurity@contoso.example",
    "other letters, domain": "security@cоntoso.example",
    "other letters, whole label": "security@сосо.example",
    "not a valid A-label": "it@xn--strasse-oqa-.example",
    "symbol": "it@☃.example",
    "number": "it@127.0.0.1",
    "literal": "it@[127.0.0.1]",
    "two dots": "it@contoso..example",
    "a dot at the end": "it@contoso.example.",
    "no domain": "it@",
    "no local part": "@contoso.example",
    "nothing": "",
    "no at": "contoso.example",
    "long": f"{'x' * 600} <it@contoso.example>",
    "underscore": "it@con_toso.example",
}

TENANT = """
tenant_id = "00000000-0000-4000-8000-000000000001"
domain = "contoso.onmicrosoft.com"
client_id = "00000000-0000-4000-8000-000000000002"
certificate = {{ pfx = "x.pfx" }}
report = {{ to = {to} }}
"""


def toml(*texts: str) -> str:
    """A list of basic strings, everything unusual escaped."""
    quoted = (f'"{"".join(map(_escaped, text))}"' for text in texts)
    return f"[{', '.join(quoted)}]"


def _escaped(character: str) -> str:
    plain = character.isascii() and character.isprintable() and character not in '"\\'
    return character if plain else f"\\U{ord(character):08x}"


@pytest.mark.parametrize(("text", "address"), GOOD.items())
def test_what_is_meant_is_what_is_written_to(text: str, address: str, tmp_path: Path) -> None:
    """A usual address is itself; an international domain is encoded by the rules of today."""
    settings = settings_of(tmp_path, "contoso", TENANT.format(to=toml(text)))
    assert Mailbox.parse(settings.tenants["contoso"].report.to[0]).address == address


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_what_could_reach_another_mailbox_is_refused_when_it_is_read(
    text: str, tmp_path: Path
) -> None:
    """With file, key and remedy, in characters that a terminal shows as they are."""
    with pytest.raises(ConfigurationError) as caught:
        settings_of(tmp_path, "contoso", TENANT.format(to=toml(text)))
    assert "contoso.toml: 'report.to.0'" in caught.value.summary
    assert caught.value.summary.isprintable()
    assert caught.value.remedy
    with pytest.raises(AddressError):
        Mailbox.parse(text)


def test_two_domains_that_fold_into_one_are_two(tmp_path: Path) -> None:
    """Two files of one directory need the same recipients: ß and ss are not the same."""
    first, same, other = (
        TENANT.format(to=toml(f"it@{d}.example")) for d in ("straße", "STRAßE", "strasse")
    )
    settings_of(tmp_path, "contoso", first)
    (tmp_path / "tenants" / "twin.toml").write_text(same)
    assert len(load(tmp_path).tenants) == 2
    (tmp_path / "tenants" / "twin.toml").write_text(other)
    with pytest.raises(ConfigurationError, match="recipients differ"):
        load(tmp_path)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    folder = tmp_path_factory.mktemp("report")
    return ReportRenderer().render(month_report(figures()), folder, write_csv)


def _delivery(rendered: Rendered, *recipients: str) -> Delivery:
    return Delivery(
        outbox_id=7,
        tenant="contoso",
        month=MONTH,
        message_id="<contoso.2026-10.1@msp.example>",
        recipients=recipients,
        rendered=rendered,
        attempt=1,
        epoch=1,
    )


def test_the_servers_hear_of_exactly_these_mailboxes(rendered: Rendered) -> None:
    """The envelope, as a real server heard it, and the header name the same mailboxes; what an
    older configuration left in the outbox and is refused today is written to nobody."""
    texts = [text for text, address in GOOD.items() if address != "it@localhost"]
    wanted = list(dict.fromkeys(GOOD[text] for text in texts))
    with mailbox() as box:
        smtp = SmtpSettings(host="127.0.0.1", port=box.port, security="none")
        sender = MailSettings(sender="Straße <audit@straße.example>", smtp=smtp)
        mailer = SmtpMailer(sender, lambda reference: "")
        mailer.send(_delivery(rendered, *texts, *BAD.values()))
    (kept,) = box.kept
    assert list(dict.fromkeys(kept.recipients)) == wanted
    assert kept.sender == "audit@xn--strae-oqa.example"
    shown = [address.addr_spec for address in kept.message["To"].addresses]
    assert list(dict.fromkeys(shown)) == wanted
    assert kept.message["From"].addresses[0].addr_spec == "audit@xn--strae-oqa.example"
    assert "X-Injected" not in kept.message


def test_no_text_becomes_a_header_line(rendered: Rendered) -> None:
    """Whatever a subject holds, encoded words with line ends included, it stays one line."""
    sender = Mailbox.parse("audit@msp.example")
    hostile = Rendered(
        folder=rendered.folder,
        subject=f"Report {ENCODED}\r\nX-Injected: yes",
        html="<p>h</p>",
        text="t",
        images=(),
        attachments=(),
        rendered_at=rendered.rendered_at,
    )
    message = message_from_bytes(compose(_delivery(hostile), sender, [sender]), policy=default)
    assert {"X-Injected", "Bcc"}.isdisjoint(message.keys())
    assert "X-Injected" in message["Subject"]
