"""Review a month: every control's rules over its records, and what may be said of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from trailkeeper.model.coverage import Coverage, decisive, proves
from trailkeeper.model.report import Month
from trailkeeper.model.review.control import (
    MOST_NOTABLE,
    About,
    Control,
    Found,
    Notable,
    Reviewed,
    State,
)
from trailkeeper.model.review.rule import Rule
from trailkeeper.model.review.workloads import concerns
from trailkeeper.model.window import Window, subtract
from trailkeeper.ports.lake import Lake
from trailkeeper.settings import TenantSettings


@dataclass(frozen=True, slots=True)
class ReviewStep:
    """`rules`: loaded when a month is reviewed, and not before."""

    lake: Lake
    rules: Callable[[], Sequence[Rule]]

    def __call__(
        self,
        tenant: TenantSettings,
        month: Month,
        coverage: Sequence[Coverage],
        before: Sequence[Coverage],
        now: datetime,
    ) -> tuple[Reviewed, ...]:
        """Every control in order, for the month and the one before it; `coverage` and `before`
        say what is proven of each. Raises `ConfigurationError` for a rule that cannot be used."""
        rules = self.rules()
        about = _about(tenant)
        (this, window), (last, earlier) = (
            self._found(tenant, each, rules, about) for each in (month, month.previous())
        )
        return tuple(
            _reviewed(
                control,
                [this[rule.id] for rule in rules if rule.control is control],
                [last[rule.id] for rule in rules if rule.control is control],
                _is_proven(control, coverage, window, now),
                _is_proven(control, before, earlier, now),
            )
            for control in Control
        )

    def _found(
        self, tenant: TenantSettings, month: Month, rules: Sequence[Rule], about: About
    ) -> tuple[Mapping[str, Found], Window]:
        window = month.window(tenant.zone)
        language = tenant.report.language
        return self.lake.review(tenant.name, window, rules, about, language), window


def _about(tenant: TenantSettings) -> About:
    return About(
        client_ids=frozenset({str(tenant.client_id).lower()}),
        emergency_accounts=frozenset(tenant.report.emergency_accounts),
    )


def _reviewed(
    control: Control,
    found: Sequence[Found],
    before: Sequence[Found],
    proven: bool,
    proven_before: bool,
) -> Reviewed:
    count, previous = (sum(each.count for each in of) for of in (found, before))
    return Reviewed(
        control=control,
        state=_state(count, proven),
        count=count,
        previous=previous,
        previous_state=_state(previous, proven_before),
        notable=_oldest(notable for each in found for notable in each.notable),
    )


def _state(count: int, proven: bool) -> State:
    if count:
        return State.FOUND
    return State.NOTHING if proven else State.UNKNOWN


def _oldest(notable: Iterable[Notable]) -> tuple[Notable, ...]:
    return tuple(sorted(notable, key=lambda each: (each.at, each.id))[:MOST_NOTABLE])


def _is_proven(
    control: Control, coverages: Sequence[Coverage], month: Window, now: datetime
) -> bool:
    """Whether no record of the control's workloads can be missing, up to now."""
    of_control = [c for c in coverages if concerns(c.stream.content_type, control)]
    end = min(month.end, now)
    if not proves(of_control) or end <= month.start:
        return False
    asked = [Window(month.start, end, c.range.axis) for c in decisive(of_control)]
    ranges = [c.range for c in decisive(of_control)]
    return not any(subtract([due], [known]) for due, known in zip(asked, ranges, strict=True))
