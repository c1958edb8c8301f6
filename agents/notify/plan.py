"""When what goes to whom: routes, groups, digests, quiet hours, budgets, repetitions.

Pure: the time is an argument (epoch ms), chance has no part. Whatever is not released now stays
with its notices; every notice ends up in exactly one delivery.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct, structs

from tocsin.agents.notify.config import Config, Match, Quiet, Receiver
from tocsin.agents.notify.customers import Customer
from tocsin.agents.notify.deliver import Outcome, Result
from tocsin.agents.notify.outbox import DEAD, BudgetUse, Delivery, Notice
from tocsin.streams.decide.muting import AUDIENCE
from tocsin.streams.decide.risk_warning import Exposure, RiskWarning
from tocsin.streams.facts.ids import derived_id
from tocsin.streams.facts.money import MINOR_DIGITS, weigh
from tocsin.streams.measures.severity import SEVERITIES

NOTICES_MAX: Final = 100  # in one delivery
REFUSALS_MAX: Final = 3
BACKOFF_FIRST_MS: Final = 1_000
BACKOFF_MAX_MS: Final = 300_000
HOUR_MS: Final = 3_600_000
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NEW: Final = frozenset({"RAISED", "DIGEST"})
_EPOCH_ORDINAL: Final = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


class Plan(Struct, frozen=True):
    """What goes out now, the budgets after it, and when to look again (None: with new notices)."""

    deliveries: tuple[Delivery, ...]
    spent: tuple[BudgetUse, ...]
    next_at: int | None


def receivers_of(config: Config, warning: RiskWarning, customer: Customer) -> list[str]:
    """Names of those whom a warning is routed to, each once, in the order of the routes."""
    found = [
        name
        for route in config.routes
        if _matches(route.match, warning, customer)
        for name in route.to
    ]
    return list(dict.fromkeys(found))


def _matches(match: Match, warning: RiskWarning, customer: Customer) -> bool:
    lists: tuple[tuple[Sequence[str], str | None], ...] = (
        (match.rule, warning.rule),
        (match.grade, warning.grade),
        (match.transition, warning.transition),
        (match.phase, warning.phase),
        (match.segment, customer.segment),
        (match.owner, customer.owner),
        (match.country, customer.country),
    )
    return (
        SEVERITIES.get(warning.severity, 0) >= SEVERITIES[match.severity]
        and _is_told(match, warning)
        and all(not wanted or found in wanted for wanted, found in lists)
    )


def _is_told(match: Match, warning: RiskWarning) -> bool:
    if match.audience:
        return warning.muted_by in {f"{AUDIENCE}{name}" for name in match.audience}
    return match.muted or warning.muted_by is None


def comparable_amount(warning: RiskWarning, config: Config) -> int:
    """Money at stake in all currencies, compared as the configuration's `parity` says.

    A currency without parity counts like the configuration's own, unit for unit.
    """
    usual = config.currency
    listed = {name: units * 10 ** MINOR_DIGITS[name] for name, units in config.parity.items()}
    owed = warning.exposures or (Exposure(usual, warning.exposure_minor),)
    return sum(weigh(max(one.exposure_minor, 0), one.currency, listed, usual) for one in owed)


def plan(
    receiver: Receiver,
    config: Config,
    notices: Iterable[Notice],
    spent: Mapping[str, BudgetUse],
    now: int,
    zone: ZoneInfo,
) -> Plan:
    """What of a receiver's waiting notices goes out now. `spent` are its budgets by owner."""
    waiting = sorted(notices, key=attrgetter("sequence"))
    starts = _group_starts(receiver, waiting)
    dues = {
        notice.sequence: _due(receiver, notice, starts[_group(receiver, notice)], now, zone)
        for notice in waiting
    }
    chains = _chains(waiting, dues, now)
    released, budgets, is_short = _within_budget(receiver, config, chains, spent, now, zone)
    out = sorted(released, key=attrgetter("sequence"))
    gone = {notice.sequence for notice in out}
    later = [
        due
        for notice in waiting
        if notice.sequence not in gone and (due := dues[notice.sequence]) > now
    ]
    if is_short:
        later.append(_local(now, zone, time(0), days=1))
    return Plan(tuple(_deliveries(receiver, out, now)), budgets, min(later, default=None))


def _group(receiver: Receiver, notice: Notice) -> str:
    """What goes out together."""
    if receiver.group is None:
        if receiver.digest_at is not None or receiver.alertmanager is not None:
            return ""
        return notice.warning.warning_id
    match receiver.group.by:
        case "customer":
            return notice.warning.customer_id
        case "owner":
            return notice.owner or ""
        case _:
            return ""


def _group_starts(receiver: Receiver, waiting: Iterable[Notice]) -> dict[str, int]:
    starts: dict[str, int] = {}
    for notice in waiting:
        name = _group(receiver, notice)
        starts[name] = min(starts.get(name, notice.arrived_at), notice.arrived_at)
    return starts


def _due(receiver: Receiver, notice: Notice, start: int, now: int, zone: ZoneInfo) -> int:
    """When a notice may go out, as far as group, digest and quiet hours decide."""
    if receiver.digest_at is not None:
        due = next_hour(notice.arrived_at, receiver.digest_at, zone)
    else:
        due = start + (receiver.group.wait_s * 1000 if receiver.group else 0)
    return quiet_until(receiver.quiet, notice.warning.severity, max(due, now), zone) or due


def _chains(
    waiting: Sequence[Notice], dues: Mapping[int, int], now: int
) -> list[tuple[Notice, ...]]:
    """What may go out, by episode: up to the last that is due, since none overtakes another."""
    episodes: dict[str, list[Notice]] = {}
    for notice in waiting:
        episodes.setdefault(notice.warning.episode_id, []).append(notice)
    chains = []
    for chain in episodes.values():
        due = [number for number, notice in enumerate(chain) if dues[notice.sequence] <= now]
        if due:
            chains.append(tuple(chain[: due[-1] + 1]))
    return chains


def _within_budget(
    receiver: Receiver,
    config: Config,
    chains: Sequence[tuple[Notice, ...]],
    spent: Mapping[str, BudgetUse],
    now: int,
    zone: ZoneInfo,
) -> tuple[list[Notice], tuple[BudgetUse, ...], bool]:
    """What the budget lets through, the budgets after it, and whether something stays behind."""
    if receiver.budget is None:
        return [notice for chain in chains for notice in chain], (), False
    today = local_day(now, zone)
    released: list[Notice] = []
    counts: dict[str, int] = {}
    is_short = False
    for chain in sorted(chains, key=lambda chain: _rank(chain, config)):
        if not any(notice.warning.transition in NEW for notice in chain):
            released += chain
            continue
        # The owner of the moment: one chain counts once, even if the customer changed hands.
        owner = (chain[-1].owner or "") if receiver.budget.per == "owner" else ""
        before = spent.get(owner)
        used = counts.get(owner, before.count if before and before.day == today else 0)
        if used < receiver.budget.new_per_day:
            released += chain
            counts[owner] = used + 1
        else:
            is_short = True
    budgets = tuple(
        BudgetUse(receiver.name, owner, today, count) for owner, count in counts.items()
    )
    return released, budgets, is_short


def _rank(chain: Sequence[Notice], config: Config) -> tuple[int, int, int]:
    """Most money first, then the graver, then the older."""
    last = chain[-1].warning
    stake = max(comparable_amount(notice.warning, config) for notice in chain)
    return -stake, -SEVERITIES.get(last.severity, 0), chain[0].sequence


def _deliveries(receiver: Receiver, released: Sequence[Notice], now: int) -> Iterable[Delivery]:
    ordered = sorted(released, key=lambda notice: _group(receiver, notice))
    found = []
    for _, members in groupby(ordered, lambda notice: _group(receiver, notice)):
        together = tuple(members)
        for begin in range(0, len(together), NOTICES_MAX):
            part = together[begin : begin + NOTICES_MAX]
            found.append(
                Delivery(id=_id(part), receiver=receiver.name, notices=part, created_at=now)
            )
    return sorted(found, key=attrgetter("sequence"))


def _id(notices: Sequence[Notice]) -> str:
    """The warning's id, or one made of several: the same however often it is made."""
    ids = [notice.warning.warning_id for notice in notices]
    return ids[0] if len(ids) == 1 else derived_id("delivery", *ids)


def after_attempt(
    delivery: Delivery, result: Result, now: int, give_up_after_h: int | None
) -> Delivery | None:
    """The delivery after an attempt: gone if it was delivered, dead, or due again later."""
    if result.outcome is Outcome.DELIVERED:
        return None
    refusals = delivery.refusals + (result.outcome is Outcome.REFUSED)
    attempts = delivery.attempts + 1
    is_old = give_up_after_h is not None and now - delivery.created_at >= give_up_after_h * HOUR_MS
    pause = max(backoff_ms(attempts), min(result.retry_after_s * 1000, HOUR_MS))
    return structs.replace(
        delivery,
        attempts=attempts,
        refusals=refusals,
        error=result.detail,
        state=DEAD if refusals >= REFUSALS_MAX or is_old else delivery.state,
        next_at=now + pause,
    )


def backoff_ms(attempts: int) -> int:
    """The pause after so many attempts."""
    return min(BACKOFF_FIRST_MS << min(attempts - 1, 20), BACKOFF_MAX_MS)


def due_at(delivery: Delivery, receiver: Receiver, now: int, zone: ZoneInfo) -> int:
    """When a delivery may be tried: not before its pause ends, nor in quiet hours unless grave."""
    gravest = max(
        (notice.warning.severity for notice in delivery.notices),
        key=lambda name: SEVERITIES.get(name, 0),
    )
    start = max(delivery.next_at, now)
    return quiet_until(receiver.quiet, gravest, start, zone) or delivery.next_at


def quiet_until(quiet: Quiet | None, severity: str, now: int, zone: ZoneInfo) -> int | None:
    """The end of the quiet time that `now` lies in, for this severity; None if in none."""
    if quiet is None:
        return None
    if quiet.but is not None and SEVERITIES.get(severity, 0) >= SEVERITIES[quiet.but]:
        return None
    moment = now
    for _ in range(2 * len(WEEKDAYS)):  # quiet hours and days may follow one another
        end = _quiet_end(quiet, moment, zone)
        if end is None:
            break
        moment = end
    return moment if moment > now else None


def _quiet_end(quiet: Quiet, now: int, zone: ZoneInfo) -> int | None:
    local = _moment(now, zone)
    if WEEKDAYS[local.weekday()] in quiet.days:
        return _local(now, zone, time(0), days=1)
    if quiet.begin is None or quiet.end is None:
        return None
    begin, end, clock = _time(quiet.begin), _time(quiet.end), local.time()
    if begin < end:
        is_within, days = begin <= clock < end, 0
    else:
        is_within, days = clock >= begin or clock < end, int(clock >= begin)
    found = _local(now, zone, end, days=days)
    return found if is_within and found > now else None


def next_hour(instant: int, hour: str, zone: ZoneInfo) -> int:
    """The first instant from `instant` on at which it is that hour (HH:MM) there."""
    today = _local(instant, zone, _time(hour))
    return today if today >= instant else _local(instant, zone, _time(hour), days=1)


def local_day(instant: int, zone: ZoneInfo) -> int:
    """The epoch day that it is there."""
    return _moment(instant, zone).toordinal() - _EPOCH_ORDINAL


def _moment(instant: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(instant / 1000, zone)


def _local(instant: int, zone: ZoneInfo, clock: time, days: int = 0) -> int:
    """The instant of a local time on the day of `instant`, or so many days later."""
    date = _moment(instant, zone).date() + timedelta(days=days)
    return int(datetime.combine(date, clock, zone).timestamp() * 1000)


def _time(text: str) -> time:
    return time.fromisoformat(text)
