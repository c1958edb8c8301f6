"""Routes, groups, digests, quiet hours, budgets and repetitions: none lost, none doubled."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.notify.notices import notice, warning
from tocsin.agents.notify.config import (
    Budget,
    Config,
    Endpoint,
    Group,
    Match,
    Quiet,
    Receiver,
    Route,
)
from tocsin.agents.notify.customers import Customer
from tocsin.agents.notify.deliver import DELIVERED, Outcome, Result
from tocsin.agents.notify.outbox import DEAD, PENDING, BudgetUse, Delivery, Notice
from tocsin.agents.notify.plan import (
    BACKOFF_MAX_MS,
    HOUR_MS,
    NOTICES_MAX,
    REFUSALS_MAX,
    Plan,
    after_attempt,
    backoff_ms,
    comparable_amount,
    due_at,
    local_day,
    next_hour,
    plan,
    quiet_until,
    receivers_of,
)
from tocsin.streams.decide.risk_warning import Exposure

BERLIN = ZoneInfo("Europe/Berlin")
HOOK = Endpoint(url="http://127.0.0.1/x")
FAILED, REFUSED = Result(Outcome.FAILED, "no"), Result(Outcome.REFUSED, "never")


def at(text: str) -> int:
    """Epoch ms of a local time in Berlin."""
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


def receiver(**more: Any) -> Receiver:
    return Receiver(name="desk", webhook=HOOK, **more)


def config(found: Receiver, **more: Any) -> Config:
    return Config(receivers=[found], routes=[Route(to=["desk"])], **more)


def planned(
    found: Receiver, waiting: list[Notice], now: int, *spent: BudgetUse, **more: Any
) -> Plan:
    budgets = {budget.owner: budget for budget in spent}
    return plan(found, config(found, **more), waiting, budgets, now, BERLIN)


def ids(made: Plan) -> list[list[str]]:
    return [[found.warning.warning_id for found in one.notices] for one in made.deliveries]


MONDAY = at("2025-03-03T10:00")


@pytest.mark.parametrize(
    ("match", "is_wanted"),
    [
        (Match(), True),
        (Match(severity="HIGH"), True),
        (Match(severity="CRITICAL"), False),
        (Match(rule=["overdue-amount", "x"]), True),
        (Match(rule=["x"]), False),
        (Match(segment=["KEY"], owner=["anna"], country=["DE"]), True),
        (Match(segment=["SMALL"]), False),
        (Match(owner=["ben"]), False),
        (Match(country=["CN"]), False),
        (Match(grade=["D"]), True),
        (Match(grade=["A"]), False),
        (Match(transition=["CLEARED"]), False),
        (Match(phase=("HISTORY",)), False),
    ],
)
def test_a_route_takes_what_matches_in_everything(match: Match, is_wanted: bool) -> None:
    routes = Config(receivers=[receiver()], routes=[Route(to=["desk"], match=match)])
    customer = Customer(segment="KEY", owner="anna", country="DE")

    found = receivers_of(routes, warning(grade="D"), customer)

    assert found == (["desk"] if is_wanted else [])


def test_history_and_muted_warnings_are_left_out_unless_they_are_asked_for() -> None:
    history, muted = warning(phase="HISTORY"), warning(muted_by="SILENCED:s1")
    asked = Match(phase=("HISTORY", "LIVE"), muted=True)
    every = Config(receivers=[receiver()], routes=[Route(to=["desk"], match=asked)])

    for found in (history, muted):
        assert receivers_of(config(receiver()), found, Customer()) == []
        assert receivers_of(every, found, Customer()) == ["desk"]


def test_what_is_for_sales_goes_to_who_asks_for_it_alone() -> None:
    asked = Route(to=["desk"], match=Match(audience=["SALES"]))
    sales = Config(receivers=[receiver()], routes=[asked])

    for cause, is_wanted in (("AUDIENCE:SALES", True), ("AUDIENCE:SERVICE", False), (None, False)):
        found = receivers_of(sales, warning(muted_by=cause), Customer())
        assert found == (["desk"] if is_wanted else [])


def test_of_an_unknown_customer_a_route_by_owner_takes_nothing() -> None:
    routes = Config(
        receivers=[receiver()], routes=[Route(to=["desk"], match=Match(owner=["anna"]))]
    )
    assert receivers_of(routes, warning(), Customer()) == []


def test_who_is_reached_by_several_routes_gets_a_warning_once() -> None:
    routes = Config(
        receivers=[receiver()], routes=[Route(to=["desk"]), Route(to=["other", "desk"])]
    )
    assert receivers_of(routes, warning(), Customer()) == ["desk", "other"]


def test_without_grouping_each_warning_goes_out_at_once_under_its_own_id() -> None:
    made = planned(receiver(), [notice(2), notice(1)], MONDAY)

    assert ids(made) == [["w1"], ["w2"]]
    assert [delivery.id for delivery in made.deliveries] == ["w1", "w2"]
    assert made.next_at is None


def test_a_group_waits_for_its_time_and_goes_out_together_by_customer() -> None:
    grouped = receiver(group=Group(by="customer", wait_s=60))
    waiting = [
        notice(1, arrived_at=MONDAY),
        notice(2, arrived_at=MONDAY + 5_000, customer_id="C2"),
        notice(3, arrived_at=MONDAY + 50_000),
    ]

    early = planned(grouped, waiting, MONDAY + 59_999)
    made = planned(grouped, waiting, MONDAY + 60_000)

    assert (ids(early), early.next_at) == ([], MONDAY + 60_000)
    assert (ids(made), made.next_at) == ([["w1", "w3"]], MONDAY + 65_000)
    again = planned(grouped, waiting, MONDAY + 61_000)
    assert made.deliveries[0].id == again.deliveries[0].id not in ("w1", "w3")


def test_a_group_that_is_too_large_for_one_delivery_becomes_several() -> None:
    waiting = [notice(number) for number in range(NOTICES_MAX + 1)]

    made = planned(receiver(group=Group(by="all", wait_s=0)), waiting, MONDAY)

    assert [len(delivery.notices) for delivery in made.deliveries] == [NOTICES_MAX, 1]


def test_a_digest_goes_out_at_its_hour_whatever_the_clocks_do() -> None:
    digest = receiver(digest_at="08:00")
    before_summer_time = at("2025-03-29T09:00")

    made = planned(digest, [notice(1, arrived_at=before_summer_time)], before_summer_time)

    assert made.next_at == at("2025-03-30T08:00")
    assert made.next_at - before_summer_time == 22 * HOUR_MS
    waiting = [notice(1, arrived_at=before_summer_time), notice(2, arrived_at=made.next_at)]
    assert ids(planned(digest, waiting, made.next_at)) == [["w1", "w2"]]
    assert next_hour(at("2025-03-29T07:00"), "08:00", BERLIN) == at("2025-03-29T08:00")


QUIET = Quiet(begin="20:00", end="07:00", days=["sat", "sun"])


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2025-03-03T19:59", None),
        ("2025-03-03T20:00", "2025-03-04T07:00"),
        ("2025-03-04T06:59", "2025-03-04T07:00"),
        ("2025-03-04T07:00", None),
        ("2025-03-07T21:00", "2025-03-10T07:00"),  # Friday night runs into the weekend
        ("2025-03-08T12:00", "2025-03-10T07:00"),
    ],
)
def test_quiet_hours_and_days_follow_one_another(now: str, until: str | None) -> None:
    assert quiet_until(QUIET, "HIGH", at(now), BERLIN) == (until and at(until))


def test_in_quiet_hours_only_what_is_grave_goes_out_and_the_rest_at_their_end() -> None:
    night, morning = at("2025-03-03T23:00"), at("2025-03-04T07:00")
    waiting = [notice(1, arrived_at=night), notice(2, arrived_at=night, severity="CRITICAL")]

    made = planned(receiver(quiet=QUIET), waiting, night)

    assert (ids(made), made.next_at) == ([["w2"]], morning)
    assert ids(planned(receiver(quiet=QUIET), waiting[:1], morning)) == [["w1"]]
    failed = Delivery(id="w1", receiver="desk", notices=(waiting[0],), created_at=0)
    assert due_at(failed, receiver(quiet=QUIET), night, BERLIN) == morning


def test_a_grave_step_takes_the_earlier_steps_of_its_episode_along() -> None:
    night = at("2025-03-03T23:00")
    waiting = [
        notice(1, arrived_at=night, episode_id="e"),
        notice(2, arrived_at=night, episode_id="e", transition="ESCALATED", severity="CRITICAL"),
        notice(3, arrived_at=night),
    ]
    assert ids(planned(receiver(quiet=QUIET), waiting, night)) == [["w1"], ["w2"]]


BUDGETED = receiver(budget=Budget(new_per_day=2))


def test_of_new_warnings_only_so_many_go_out_a_day_most_money_first() -> None:
    waiting = [notice(n, exposure_minor=amount) for n, amount in enumerate([5, 9, 7, 8])]

    made = planned(BUDGETED, waiting, MONDAY)

    assert ids(made) == [["w1"], ["w3"]]
    assert made.spent == (BudgetUse("desk", "", local_day(MONDAY, BERLIN), 2),)
    assert made.next_at == at("2025-03-04T00:00")
    left = [waiting[0], waiting[2]]
    assert ids(planned(BUDGETED, left, MONDAY + HOUR_MS, *made.spent)) == []
    assert ids(planned(BUDGETED, left, made.next_at, *made.spent)) == [["w0"], ["w2"]]


def test_each_owner_has_a_budget_of_its_own() -> None:
    waiting = [notice(n, owner="anna" if n < 3 else "ben") for n in range(4)]
    assert ids(planned(BUDGETED, waiting, MONDAY)) == [["w0"], ["w1"], ["w3"]]


def test_an_end_costs_nothing_unless_its_beginning_still_waits() -> None:
    full = BudgetUse("desk", "", local_day(MONDAY, BERLIN), 2)
    waiting = [
        notice(1, episode_id="told", transition="CLEARED"),
        notice(2, episode_id="new"),
        notice(3, episode_id="new", transition="CLEARED"),
    ]
    assert ids(planned(BUDGETED, waiting, MONDAY, full)) == [["w1"]]
    tomorrow = MONDAY + 24 * HOUR_MS
    assert ids(planned(BUDGETED, waiting[1:], tomorrow, full)) == [["w2"], ["w3"]]


def test_money_of_several_currencies_is_compared_as_the_configuration_says() -> None:
    told = config(receiver(), parity={"EUR": 100, "CNY": 780}, currency="EUR")

    euros = comparable_amount(warning(currency="EUR", exposure_minor=100_00), told)
    yuan = comparable_amount(warning(currency="CNY", exposure_minor=780_00), told)
    yen = comparable_amount(warning(currency="JPY", exposure_minor=780), told)
    unnamed = comparable_amount(warning(currency=None, subject="", exposure_minor=100_00), told)

    assert euros == yuan == unnamed
    assert yen * 100 == 780 * euros, "no parity: like the configuration's own, unit for unit"


def test_what_is_owed_in_further_currencies_is_at_stake_too() -> None:
    told = config(receiver(), parity={"EUR": 100, "CNY": 780}, currency="EUR")
    others = (Exposure("CNY", 780_00), Exposure("USD", -5_000_00))

    alone = comparable_amount(warning(currency="EUR", exposure_minor=100_00), told)
    more = comparable_amount(
        warning(currency="EUR", exposure_minor=100_00, other_exposures=others), told
    )
    elsewhere = comparable_amount(
        warning(currency="EUR", exposure_minor=0, other_exposures=others), told
    )

    assert more == 2 * alone
    assert elsewhere == alone


OWNERS = st.sampled_from(["anna", "ben", ""])
STEPS = st.sampled_from(["RAISED", "ESCALATED", "CLEARED"])
ARRIVALS = st.lists(
    st.tuples(
        st.integers(0, 40),  # hours between
        OWNERS,
        st.integers(0, 5),  # episode
        STEPS,
        st.integers(0, 1000),
        st.sampled_from(["LOW", "CRITICAL"]),
    ),
    max_size=40,
)
RECEIVERS = st.builds(
    receiver,
    group=st.sampled_from([None, Group(by="owner", wait_s=3600), Group(by="all", wait_s=0)]),
    digest_at=st.sampled_from([None, "08:00"]),
    quiet=st.sampled_from([None, QUIET, Quiet(begin="12:00", end="13:00", but=None)]),
    budget=st.sampled_from([None, Budget(new_per_day=1), Budget(new_per_day=2, per="all")]),
)


@given(RECEIVERS, ARRIVALS)
@settings(max_examples=150, deadline=None)
def test_whatever_comes_none_is_lost_none_doubled_and_no_budget_exceeded(
    found: Receiver, arrivals: list[tuple[int, str, int, str, int, str]]
) -> None:
    now, waiting, sent = MONDAY, dict[int, Notice](), list[int]()
    spent: dict[str, BudgetUse] = {}
    used: Counter[tuple[str, int]] = Counter()
    pending = [(number, *arrival) for number, arrival in enumerate(arrivals)]
    turns, again = 0, MONDAY
    while pending or waiting:
        turns += 1
        assert turns < 2000, "it never ends"
        if pending and (not waiting or pending[0][1] * HOUR_MS + now <= (again or 1 << 62)):
            number, hours, owner, episode, step, stake, severity = pending.pop(0)
            now += hours * HOUR_MS
            waiting[number] = notice(
                number, arrived_at=now, owner=owner, episode_id=f"{owner}{episode}",
                transition=step, exposure_minor=stake, severity=severity,
            )  # fmt: skip
        else:
            assert again is not None, "something waits for nothing"
            assert again > now
            now = again
        made = plan(found, config(found), waiting.values(), spent, now, BERLIN)
        today = local_day(now, BERLIN)
        chains = defaultdict(list)
        for delivery in made.deliveries:
            for one in delivery.notices:
                del waiting[one.sequence]  # fails if it is sent twice
                sent.append(one.sequence)
                chains[one.warning.episode_id].append(one)
        if found.budget is not None:
            for chain in chains.values():
                if any(one.warning.transition == "RAISED" for one in chain):
                    owner = "" if found.budget.per == "all" else chain[-1].owner or ""
                    used[owner, today] += 1
            assert max(used.values(), default=0) <= found.budget.new_per_day
        spent |= {budget.owner: budget for budget in made.spent}
        again = made.next_at
    assert sorted(sent) == list(range(len(arrivals)))


@given(ARRIVALS)
@settings(max_examples=60, deadline=None)
def test_within_an_episode_none_overtakes_another(
    arrivals: list[tuple[int, str, int, str, int, str]],
) -> None:
    found = receiver(quiet=QUIET, budget=Budget(new_per_day=1))
    night = at("2025-03-03T23:00")
    waiting = {
        number: notice(
            number, arrived_at=night, episode_id=str(episode), transition=step, severity=severity
        )
        for number, (_, _, episode, step, _, severity) in enumerate(arrivals)
    }
    sent: list[Notice] = []
    for now in (night, night + 12 * HOUR_MS):
        for delivery in planned(found, list(waiting.values()), now).deliveries:
            sent += delivery.notices
            for one in delivery.notices:
                del waiting[one.sequence]
    for episode in {one.warning.episode_id for one in sent}:
        order = [one.sequence for one in sent if one.warning.episode_id == episode]
        assert order == sorted(order)


def delivery(**more: Any) -> Delivery:
    return Delivery(id="w1", receiver="desk", notices=(notice(1),), created_at=0, **more)


def test_what_was_delivered_is_forgotten() -> None:
    assert after_attempt(delivery(), DELIVERED, 5, None) is None


def test_a_failure_is_tried_again_for_ever_with_growing_pauses() -> None:
    found, pauses = delivery(), []
    for _ in range(30):
        after = after_attempt(found, FAILED, MONDAY, None)
        assert after is not None
        assert (after.state, after.error) == (PENDING, "no")
        pauses.append(after.next_at - MONDAY)
        found = after
    assert pauses[:4] == [1000, 2000, 4000, 8000]
    assert pauses == sorted(pauses)
    assert pauses[-1] == BACKOFF_MAX_MS == backoff_ms(10_000)


def test_a_receiver_may_ask_for_a_longer_pause_within_reason() -> None:
    for asked_s, given_ms in ((90, 90_000), (10**9, HOUR_MS), (0, 1000)):
        after = after_attempt(delivery(), Result(Outcome.FAILED, "", asked_s), 0, None)
        assert after is not None
        assert after.next_at == given_ms


def test_what_is_refused_for_good_dies_after_a_few_attempts() -> None:
    found = delivery()
    for number in range(1, REFUSALS_MAX + 1):
        after = after_attempt(found, REFUSED, 0, None)
        assert after is not None
        assert (after.state == DEAD) == (number == REFUSALS_MAX)
        found = after


def test_what_grew_too_old_dies_where_that_is_wished() -> None:
    young = after_attempt(delivery(), FAILED, 2 * HOUR_MS - 1, 2)
    old = after_attempt(delivery(), FAILED, 2 * HOUR_MS, 2)
    assert young is not None
    assert old is not None
    assert (young.state, old.state) == (PENDING, DEAD)


def test_days_are_those_of_the_zone() -> None:
    midnight = at("2025-03-04T00:00")
    assert local_day(midnight, BERLIN) == local_day(midnight - 1, BERLIN) + 1
    assert (
        local_day(midnight, BERLIN) == date(2025, 3, 4).toordinal() - date(1970, 1, 1).toordinal()
    )
