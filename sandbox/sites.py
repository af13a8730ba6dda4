"""The sandbox's sites: which app listens where."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from aiohttp import web

from sandbox import control, disruptions, entra, exchange, vault
from sandbox.box import BOX, Box, box_of
from sandbox.feed import site
from sandbox.mailbox import Mailbox

# In the order of their ports when --port-base is given; SMTP comes after them.
SITES = ("login", "exchange", "management", "graph", "control", "vault", "elsewhere")
_LARGEST_REQUEST = 256 * 2**20


def _later(kind: str) -> Callable[[web.Application], None]:
    """A site that is not built yet: it counts, plays faults, and says so."""

    async def answer(request: web.Request) -> web.StreamResponse:
        box = box_of(request)
        box.counters.count(kind, "")
        plan = box.book.draw(kind, "")
        if played := await disruptions.instead(request, plan, box.urls["elsewhere"]):
            return played
        error = {"error": {"code": "NotImplemented", "message": f"no {kind} API here yet"}}
        return web.json_response(error, status=501)

    def routes(app: web.Application) -> None:
        app.router.add_route("*", "/{path:.*}", answer)

    return routes


def _elsewhere(app: web.Application) -> None:
    """Another host: redirects lead here, and no Authorization header ever should."""

    async def note(request: web.Request) -> web.Response:
        box_of(request).seen_elsewhere.append(
            {
                "method": request.method,
                "path": request.path_qs,
                "authorization": "Authorization" in request.headers,
            }
        )
        return web.json_response({"value": []})

    app.router.add_route("*", "/{path:.*}", note)


_ROUTES: dict[str, Callable[[web.Application], None]] = {
    "login": entra.routes,
    "exchange": exchange.routes,
    "management": site.routes,
    "graph": _later("graph"),
    "control": control.routes,
    "vault": vault.routes,
    "elsewhere": _elsewhere,
}


async def open_site(
    name: str, box: Box, mailbox: Mailbox, key: str, port: int, context: ssl.SSLContext
) -> web.AppRunner:
    """Start one site on loopback and note its URL in the box."""
    guard = [control.guarded] if name == "control" else []
    app = web.Application(client_max_size=_LARGEST_REQUEST, middlewares=guard)
    app[BOX] = box
    app[control.KEY] = key
    app[control.MAILBOX] = mailbox
    _ROUTES[name](app)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
    box.urls[name] = f"https://127.0.0.1:{runner.addresses[0][1]}"
    if name in box.resources.by_site:
        box.resources.by_site[name].names.add(box.urls[name])
    return runner
