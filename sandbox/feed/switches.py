"""What may be altered in a tenant's feed, at any time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class FeedSwitches:
    """Volume, blobs, listing and refusals of the Management Activity API."""

    # Volume and time
    feed_rate: float = 0.0  # records a second that occur live, from the moment of setting
    feed_lag: str = "arrival"  # occurrence to blob: arrival | instant | typical | "60" | "30-90" s
    redelivered_share: float = 0.0  # of the records stands in a second blob, 1 h to 5 d later
    doubled_share: float = 0.0  # of the records stands in the next blob, too
    unlisted_share: float = 0.0  # of the records never stands in any blob, whatever is asked
    # Blobs
    blob_records: int = 100  # most records of a blob
    blob_sizes: str = "varied"  # varied (1 to blob_records) | fixed
    blob_seconds: float = 60.0  # a blob that is not full is closed so long after its first record
    content_days: float = 7.0  # contentExpiration; 20 was seen, too
    # Listing
    content_page: int = 100  # entries before a NextPageUri; the real number is not documented
    content_order: str = "jumbled"  # jumbled by up to a minute, as observed | created
    next_page_header: str = "NextPageUri"
    next_page_version: str = "v1.0"  # v1, as in the documentation's sample
    lookback_hours: float = 168.0
    wide_windows: str = "refuse"  # beyond 24 h: refuse | partial (200 with the first 24 h only)
    window_code: str = "AF20055"  # or AF20030
    hidden_share: float = 0.0  # of the blobs is listed only hidden_seconds after contentCreated
    hidden_seconds: float = 3600.0
    partial_view: bool = False  # listed from its own second of creation, a blob shows its end only
    notification_status: str = "success"
    # Subscriptions
    backfill_hours: float = 168.0  # how much older than the first start a listed blob can be
    first_content_seconds: float = 0.0  # until a first subscription lists anything
    disabled_content: list[str] = field(default_factory=list)  # AF20023
    disabled_by: str = "a tenant admin"
    disabled_restart: bool = False  # does start enable again what an administrator disabled?
    omit_status: bool = False  # the list of subscriptions lacks `status`, as one sample does
    # Refusals
    requests_per_minute: int = 2000
    anonymous_per_minute: int = 200  # without PublisherIdentifier, all tenants together
    throttle_status: int = 403  # of AF429; 429 was seen, too
    error_body: str = "json"  # of every AF error: json | single_quoted | empty
    missing_role_status: int = 401  # of AF10001; or 403
    # Latency
    seconds_per_blob: float = 0.0
    seconds_per_listing: float = 0.0


def lag_seconds(lag: str) -> tuple[float, float]:
    """Shortest and longest delay in words of seconds; ValueError where there are none."""
    if lag in ("arrival", "instant", "typical"):
        return 0.0, 0.0
    low, _, high = lag.partition("-")
    return float(low), float(high or low)


CHOICES: dict[str, set[str]] = {
    "blob_sizes": {"varied", "fixed"},
    "content_order": {"jumbled", "created"},
    "next_page_header": {"NextPageUri", "NextPageUrl", "nextpageuri", "NEXTPAGEURI"},
    "next_page_version": {"v1.0", "v1"},
    "wide_windows": {"refuse", "partial"},
    "window_code": {"AF20055", "AF20030"},
    "error_body": {"json", "single_quoted", "empty"},
    "disabled_by": {"a tenant admin", "a service admin"},
}
