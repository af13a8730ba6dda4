"""Listings of the feed: every page of one question, as blobs.

management-api-and-graph.md, sections 1.4 and 1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from trailkeeper.errors import TrailkeeperError, Transient
from trailkeeper.microsoft.activity.client import TRIES, ActivityClient
from trailkeeper.microsoft.activity.faults import NO_SUBSCRIPTION
from trailkeeper.microsoft.activity.subscriptions import DISABLED, Subscriptions
from trailkeeper.microsoft.http.answer import Answer
from trailkeeper.microsoft.http.bodies import json_objects, text_of
from trailkeeper.microsoft.http.transport_faults import host_of
from trailkeeper.model.feed.blob import Blob
from trailkeeper.model.feed.rules import LOOKBACK, Listing, from_earlier, shows_part
from trailkeeper.model.window import parse_instant

_UNNAMED = "HTTP 400"
"""an error without a body: it may be any of them"""
_WRONG_PAGE = "AF20031"
_BEING_STARTED = 2.0
"""seconds: somebody else has just asked for the subscription"""
_STEPS_BACK = 8
_MOST_PAGES = 1000
"""of one listing: at a hundred blobs a page and a hundred records a blob, ten million records in at
most a day of one content type"""


class EndlessListing(Transient):
    """A listing that names ever new pages; `blobs` are those that it listed, to be fetched."""

    def __init__(self, cause: Transient, blobs: Sequence[Blob] = ()) -> None:
        super().__init__(cause.summary, cause.remedy, cause.code, cause.request_id)
        self.blobs = blobs


Pages = dict[str, tuple[list[Blob], str | None]]
"""What was answered to each link of one content type's listing, and the link that came with it."""


def listed_blobs(
    client: ActivityClient,
    subscriptions: Subscriptions,
    content_type: str,
    listing: Listing,
    still_ours: Callable[[], None],
    pages: Pages,
) -> list[Blob]:
    """The blobs that are this listing's to fetch, each once.

    A listing that begins in a blob's own second is asked once more from a little earlier: it may
    show a part of that blob only. Raises what `client` raises; called again with the same `pages`,
    after a throttling, it goes on at the page that was refused. Raises `EndlessListing` besides.
    """
    for _ in range(_STEPS_BACK):
        try:
            blobs = _subscribed(client, subscriptions, content_type, listing, still_ours, pages)
        except EndlessListing as error:
            error.blobs = [blob for blob in error.blobs if listing.owns(blob.created_at)]
            raise
        earlier = from_earlier(listing, client.now())
        if earlier is None or not any(shows_part(listing, b.created_at) for b in blobs.values()):
            break
        listing = earlier
    return [blob for blob in blobs.values() if listing.owns(blob.created_at)]


def _subscribed(
    client: ActivityClient,
    subscriptions: Subscriptions,
    content_type: str,
    listing: Listing,
    still_ours: Callable[[], None],
    pages: Pages,
) -> dict[str, Blob]:
    """As `_whole`; without a subscription, or with a disabled one, it is started and asked once
    more (section 1.7, recovery in use)."""
    try:
        return _whole(client, content_type, listing, still_ours, pages)
    except TrailkeeperError as error:
        if error.code not in (NO_SUBSCRIPTION, DISABLED, _UNNAMED):
            raise
        if error.code == _UNNAMED and content_type in subscriptions.enabled(client):
            raise
        if not subscriptions.start(client, content_type):
            if error.code == DISABLED and content_type not in subscriptions.enabled(client):
                raise
            client.pause(_BEING_STARTED)
    return _whole(client, content_type, listing, still_ours, pages)


def _whole(
    client: ActivityClient,
    content_type: str,
    listing: Listing,
    still_ours: Callable[[], None],
    pages: Pages,
) -> dict[str, Blob]:
    """Every page; from the beginning once more when the service forgot where we were."""
    try:
        return _all_pages(client, content_type, listing, still_ours, pages)
    except Transient as error:
        if error.code != _WRONG_PAGE:
            raise
    pages.clear()
    return _all_pages(client, content_type, listing, still_ours, pages)


def _all_pages(
    client: ActivityClient,
    content_type: str,
    listing: Listing,
    still_ours: Callable[[], None],
    pages: Pages,
) -> dict[str, Blob]:
    link: str | None = client.url(
        "subscriptions/content",
        contentType=content_type,
        startTime=_wire(listing.asked.start),
        endTime=_wire(listing.asked.end),
    )
    blobs: dict[str, Blob] = {}
    seen: set[str] = set()
    while link:
        if link in seen:
            raise Transient("the feed's links lead in a circle", "The listing is asked again.")
        if len(seen) >= _MOST_PAGES:
            raise EndlessListing(_endless(link), list(blobs.values()))
        seen.add(link)
        if link not in pages:
            still_ours()
            pages[link] = _page(client, link, content_type, listing)
        listed, link = pages[link]
        for blob in listed:
            blobs.setdefault(blob.content_id, blob)
        if link and link.partition("&Publisher")[0] in seen:
            raise Transient("the feed's links lead in a circle", "The listing is asked again.")
    return blobs


def _endless(link: str) -> Transient:
    return Transient(
        f"{host_of(link)} names ever new pages of a listing; {_MOST_PAGES} were followed",
        "What they listed is kept; the listing is asked again later. Check any proxy on the way if "
        "it stays so.",
        "endless-listing",
    )


def _page(
    client: ActivityClient, link: str, content_type: str, listing: Listing
) -> tuple[list[Blob], str | None]:
    """Its blobs and the next link. A 200 that is no listing is a broken answer like any other: it
    is asked for again at once, twice, as `client.get` does with those that it sees itself."""
    for pause in TRIES:
        answer = client.get(link)
        try:
            return list(_read(answer, client, content_type, listing)), client.next_page(answer)
        except Transient:
            client.pause(pause)
    answer = client.get(link)
    return list(_read(answer, client, content_type, listing)), client.next_page(answer)


def _read(
    answer: Answer, client: ActivityClient, content_type: str, listing: Listing
) -> Iterator[Blob]:
    """Raises `Transient` for an answer that is no listing."""
    try:
        entries = json_objects(answer.body)
    except ValueError:
        raise _unreadable("the feed's listing could not be read", answer) from None
    for entry in entries:
        uri = text_of(entry.get("contentUri"))
        content_id = text_of(entry.get("contentId")) or uri.rpartition("/")[2]
        if not content_id:
            raise _unreadable("the feed listed content without an id", answer)
        created_at = _moment(entry.get("contentCreated")) or listing.window.start
        yield Blob(
            content_type,
            content_id,
            uri or client.url(f"audit/{content_id}"),
            created_at,
            _moment(entry.get("contentExpiration")) or created_at + LOOKBACK,
        )


def _unreadable(what: str, answer: Answer) -> Transient:
    return Transient(what, "It is asked again later.", "listing", answer.request_id)


def _wire(moment: datetime) -> str:
    """Whole seconds, no zone: the form that the documentation has (section 1.4)."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def _moment(value: object) -> datetime | None:
    """None when it says no time: absent, null, no text, no instant, or a placeholder as .NET has
    them at both ends of its calendar."""
    if not isinstance(value, str):
        return None
    try:
        moment = parse_instant(value)
    except (ValueError, OverflowError):
        return None
    return moment if _PLAUSIBLE[0] <= moment.year < _PLAUSIBLE[1] else None


_PLAUSIBLE = (2000, 2200)
