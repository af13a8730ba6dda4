"""`python -m sandbox serve --dir DIR`: one sandbox in this process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from sandbox.app import Options, Serving
from sandbox.rhythm import RHYTHMS


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    serve = parser.add_subparsers(dest="command", required=True).add_parser(
        "serve", help="listen on loopback; writes DIR/sandbox.json once ready"
    )
    add = serve.add_argument
    add("--dir", type=Path, required=True, help="state: sandbox.json, ca.pem, mailbox/")
    add("--tenants", default="contoso,fabrikam,litware", help="names, comma-separated")
    add("--seed", type=int, default=1)
    add(
        "--rate",
        type=float,
        default=None,
        metavar="N",
        help="generated records a weekday and tenant (default 2000, with --records or --fleet 0)",
    )
    add("--rhythm", choices=sorted(RHYTHMS), default="office")
    add(
        "--records",
        nargs="+",
        action="extend",
        default=[],
        metavar="[TENANT=]PATH",
        help="real records, one JSON object a line, .gz too; times are shifted into the period",
    )
    add("--from", dest="start", default="", help="period of the records; default last month's 1st")
    add("--to", dest="end", default="", help="default now")
    add("--keep-times", action="store_true", help="do not shift the times of --records")
    add("--arrival", default="instant", help="instant, typical or seconds of delay")
    add(
        "--keep-rows",
        type=int,
        default=50_000,
        help="rendered rows kept in memory a tenant, some 2 kB each; for benchmarks: all",
    )
    _port_arguments(serve)
    add("--switches", type=json.loads, default={}, help="JSON object of tenant switches")
    _feed_arguments(serve)
    return parser.parse_args(words)


def _port_arguments(serve: argparse.ArgumentParser) -> None:
    add = serve.add_argument
    add(
        "--port-base",
        type=int,
        default=0,
        help="login, exchange, management, graph, control, vault, elsewhere, smtp from here on",
    )
    add("--smtp-port", type=int, default=0)
    add("--smtp-security", choices=("none", "starttls", "tls"), default="none")
    add("--smtp-login", default="", metavar="USER:PASSWORD")


def _feed_arguments(serve: argparse.ArgumentParser) -> None:
    feed = serve.add_argument_group("the Management Activity API")
    feed.add_argument("--fleet", type=int, default=0, metavar="N", help="N more tenants: t0001, ..")
    feed.add_argument(
        "--one-app", action="store_true", help="one multi-tenant app for all: one certificate"
    )
    feed.add_argument(
        "--live",
        type=float,
        default=0.0,
        metavar="R",
        help="R records a second occur from now on, all tenants together, spread lognormally",
    )
    feed.add_argument("--feed-cache-mb", type=float, default=64, help="rendered blobs in memory")


def options_of(given: argparse.Namespace) -> Options:
    rate = (0.0 if given.records or given.fleet else 2000.0) if given.rate is None else given.rate
    user, colon, password = given.smtp_login.partition(":")
    return Options(
        folder=given.dir,
        tenants=[name for name in given.tenants.split(",") if name],
        seed=given.seed,
        rate=rate,
        rhythm=given.rhythm,
        records=given.records,
        start=given.start,
        end=given.end,
        keep_times=given.keep_times,
        keep_rows=given.keep_rows,
        arrival=given.arrival,
        port_base=given.port_base,
        smtp_port=given.smtp_port,
        smtp_security=given.smtp_security,
        smtp_login=(user, password) if colon else None,
        switches=given.switches,
        fleet=given.fleet,
        one_app=given.one_app,
        live=given.live,
        feed_cache_mb=given.feed_cache_mb,
    )


def summary(report: dict[str, Any]) -> str:
    """The closing report in one line a tenant."""
    lines = (
        f"{name}: {t['records']} records, never served {t['never']}, once {t['once']}, "
        f"repeatedly {t['repeatedly']}; "
        f"blobs never fetched {t['feed']['never']}, once {t['feed']['once']}, "
        f"repeatedly {t['feed']['repeatedly']}"
        for name, t in report["tenants"].items()
    )
    return "\n".join(lines)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def serve(options: Options) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with Serving(options) as serving:
        said = serving.description
        say(
            f"sandbox ready: login {said['login']} exchange {said['exchange']} "
            f"control {said['control']} smtp {said['smtp_port']} in {options.folder}"
        )
        await stopping.wait()
    say(summary(serving.report))


def main() -> int:
    try:
        asyncio.run(serve(options_of(arguments())))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
