"""`trailkeeper certificate`: key pairs for app registrations."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trailkeeper.cli import output
from trailkeeper.cli.exits import Exit
from trailkeeper.cli.options import ConfigOption, JsonOption, VerboseOption, opened

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from trailkeeper.bootstrap import World
    from trailkeeper.microsoft.certificates.certificate import Certificate
    from trailkeeper.microsoft.certificates.create import CreatedCertificate
    from trailkeeper.microsoft.certificates.loading import Slot
    from trailkeeper.settings import TenantSettings

app = typer.Typer(
    help="Key pairs for app registrations: create, show, list.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

PASSWORD_HELP = "env:NAME or file:PATH; asked for when left out."  # noqa: S105 - a help text
_PasswordOption = Annotated[
    str | None, typer.Option("--password", metavar="REF", help=PASSWORD_HELP, show_default=False)
]
_VERY_SOON_DAYS = 7


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the files, and in the subject (CN=NAME).")
    ],
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")
    ] = Path("."),
    password: _PasswordOption = None,
    days: Annotated[int, typer.Option("--days", help="How long it is valid.")] = 365,
    bits: Annotated[int, typer.Option("--bits", help="Size of the RSA key.")] = 3072,
    as_json: JsonOption = False,
) -> None:
    """Make a key pair: NAME.pfx to keep (0600, never overwriting) and NAME.cer to upload.

    Prints both thumbprints and the keyCredential for Microsoft Graph.

    Examples:

      trailkeeper certificate create contoso -o trailkeeper.d

      trailkeeper certificate create contoso --password file:contoso.password --days 730
    """
    from trailkeeper.bootstrap import SystemClock
    from trailkeeper.microsoft.certificates.create import certificate_create

    made = certificate_create(
        folder,
        name,
        _new_password(password),
        SystemClock().now(),
        lifetime=timedelta(days=days),
        bits=bits,
    )
    _print_created(made, as_json)


def _print_created(made: CreatedCertificate, as_json: bool) -> None:
    if as_json:
        output.json_line(
            {
                "pfx": str(made.pfx),
                "cer": str(made.cer),
                "thumbprint_sha1": made.thumbprint_sha1,
                "thumbprint_sha256": made.thumbprint_sha256,
                "key_credential": made.key_credential,
            }
        )
        return
    output.line(f"written     {made.pfx} (keep it secret) and {made.cer} (upload it)")
    output.line(f"thumbprint  {made.thumbprint_sha1}")
    output.line(f"sha-256     {made.thumbprint_sha256}")
    output.line(f"valid       {made.not_before:%Y-%m-%d} .. {made.not_after:%Y-%m-%d}")
    output.line("keyCredential for Microsoft Graph:")
    output.line(made.key_credential_json())
    output.note(
        "Upload the .cer to the app registration (Certificates & secrets), then name the .pfx "
        "under [certificate] in the tenant's file."
    )


def _new_password(reference: str | None) -> str:
    """From `env:` or `file:`, else typed twice at the terminal."""
    from trailkeeper.errors import UsageError

    if reference is not None:
        return _secret(reference)
    if not sys.stdin.isatty():
        raise UsageError(
            "the .pfx needs a password and there is nobody to ask",
            "Add --password env:NAME or --password file:PATH.",
        )
    return str(typer.prompt("Password of the .pfx", hide_input=True, confirmation_prompt=True))


def _secret(reference: str) -> str:
    """Resolve a reference given on the command line: paths from the current folder."""
    from trailkeeper.errors import UsageError
    from trailkeeper.settings import Settings

    if not reference.startswith(("env:", "file:")):
        raise UsageError(
            "--password is a reference, never the password itself: others can read arguments",
            "Write env:NAME or file:PATH.",
        )
    return Settings(folder=Path.cwd()).secret(reference)


@app.command()
def show(
    what: Annotated[
        str, typer.Argument(metavar="TENANT|FILE", help="A tenant's name, or a .pfx, .pem or .cer.")
    ],
    password: Annotated[
        str | None,
        typer.Option("--password", metavar="REF", help="For a file: env:NAME or file:PATH."),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    verbose: VerboseOption = 0,
) -> None:
    """Subject, thumbprints and dates of one tenant's certificate, or of a file.

    Examples:

      trailkeeper certificate show contoso

      trailkeeper certificate show contoso.pfx --password env:PFX_PASSWORD
    """
    path = Path(what)
    if path.is_file():
        from trailkeeper.bootstrap import SystemClock
        from trailkeeper.microsoft.certificates.show import read_any

        shown = read_any(path, _secret(password) if password else None)
        rows = [_described(shown, SystemClock().now())]
    else:
        with opened(config, verbose) as world:
            tenant = world.settings.tenant(what)
            now = world.clock.now()
            slots = world.certificates.slots(tenant)
            rows = [_described(world.certificates.current(tenant, slot), now) for slot in slots]
    for row in rows:
        _print_one(row, as_json)


def _described(certificate: Certificate, now: datetime) -> dict[str, Any]:
    from trailkeeper.microsoft.certificates.expiry import days_left, warning_due
    from trailkeeper.model.window import iso

    return {
        "source": certificate.source,
        "subject": certificate.subject,
        "thumbprint_sha1": certificate.thumbprint_sha1,
        "thumbprint_sha256": certificate.thumbprint_sha256,
        "not_before": iso(certificate.not_before),
        "not_after": iso(certificate.not_after),
        "days_left": days_left(certificate, now),
        "warning_days": warning_due(certificate, now),
    }


def _print_one(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.json_line(row)
        return
    for key, value in row.items():
        if value is not None:
            output.line(f"{key.replace('_', ' '):<18} {value}")


@app.command("list")
def list_certificates(
    as_json: JsonOption = False, config: ConfigOption = None, verbose: VerboseOption = 0
) -> int:
    """The certificate of every tenant: subject, thumbprint, expiry, days left.

    One that ends within 60, 30, 14, 7 or 1 days is marked; of two during a roll-over, the one that
    logged in last is. One that cannot be used is listed with its reason, and the exit code is 20.

    Examples:

      trailkeeper certificate list

      trailkeeper certificate list --json
    """
    with opened(config, verbose) as world:
        screen = output.console()
        rows = [_row(world, tenant, slot) for tenant, slot in world.certificates.all()]
        if as_json:
            for row in rows:
                output.json_line(row)
        else:
            _print_table(screen, rows)
    return Exit.PERSON if any(row["error"] for row in rows) else Exit.DONE


def _row(world: World, tenant: TenantSettings, slot: Slot) -> dict[str, Any]:
    from trailkeeper.errors import TrailkeeperError

    row: dict[str, Any] = {"tenant": tenant.name, "slot": slot.value, "error": ""}
    try:
        certificate = world.certificates.current(tenant, slot)
    except TrailkeeperError as error:
        return {**row, "error": str(error)}
    used = world.tokens.thumbprint_in_use(tenant)
    row["in_use"] = used == certificate.thumbprint_sha1 if used else None
    return {**row, **_described(certificate, world.clock.now())}


def _print_table(screen: Console, rows: Sequence[dict[str, Any]]) -> None:
    from rich.text import Text

    cells = [("TENANT", "SUBJECT", "THUMBPRINT", "UNTIL"), *map(_cells, rows)]
    states = [("STATE", ""), *map(_state, rows)]
    for line, (state, colour) in zip(output.aligned(cells), states, strict=True):
        screen.print(Text(f"{line}  ").append(state, style=colour))


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    slot = "" if row["slot"] == "certificate" else f" ({row['slot']})"
    known = (row.get(key, "") for key in ("subject", "thumbprint_sha1", "not_after"))
    subject, thumbprint, until = known
    return f"{row['tenant']}{slot}", subject, thumbprint, until


def _state(row: dict[str, Any]) -> tuple[str, str]:
    """What is said of a certificate, and its colour."""
    if row["error"]:
        return f"✗ {row['error']}", "red"
    due = row["warning_days"]
    text = f"{row['days_left']} days left"
    text += "" if due is None else ": make the next one"
    text += " (in use)" if row["in_use"] else ""
    return text, "green" if due is None else "red" if due <= _VERY_SOON_DAYS else "yellow"
