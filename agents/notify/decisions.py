"""What the notifier decides, without connections: warnings to notices, notices to deliveries.

Every change goes to the outbox in memory; whoever calls writes what changed before he acts on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import structs

from tocsin.agents.notify.config import Config, Receiver
from tocsin.agents.notify.customers import Customers
from tocsin.agents.notify.deliver import Result
from tocsin.agents.notify.deliver_http import labels_of
from tocsin.agents.notify.outbox import (
    DEAD,
    PENDING,
    Alert,
    BudgetUse,
    Delivery,
    Notice,
    Outbox,
    Position,
    Resend,
    key_of,
)
from tocsin.agents.notify.plan import after_attempt, due_at, plan, receivers_of
from tocsin.agents.observe.tracing import trace_in
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.refused import Refused
from tocsin.streams.decide.risk_warning import RiskWarning


class NotificationDecider:
    """Takes warnings, releases deliveries, books how attempts ended."""

    def __init__(
        self, config: Config, outbox: Outbox, customers: Customers, codec: Codec, zone: ZoneInfo
    ) -> None:
        self._config = config
        self.outbox = outbox
        self._customers = customers
        self._codec = codec
        self._zone = zone
        self._sequence = max(
            [notice.sequence for notice in outbox.all(Notice)]
            + [found.notices[-1].sequence for found in outbox.all(Delivery)],
            default=0,
        )
        self._look_again: dict[str, int | None] = {found.name: 0 for found in config.receivers}
        self.unreadable = 0

    def take(self, records: Iterable[Any], now: int) -> None:
        """Route warnings, and note how far the topic was read."""
        for record in records:
            if record.offset < self._position(record.partition):
                continue  # read twice: the group was shared out anew in between
            try:
                warning = self._codec.decode_warning(record.value)
            except Refused:  # not written by a worker; the audit keeps it
                self.unreadable += 1
            else:
                self._route(warning, record, now)
            self.outbox.put(Position(record.partition, record.offset + 1))

    def reach(self, partition: int, offset: int) -> None:
        """Note that all before an offset was taken: what has none, such as markers, counts too."""
        if offset > self._position(partition):
            self.outbox.put(Position(partition, offset))

    def _position(self, partition: int) -> int:
        found = self.outbox.find(Position, key_of(Position(partition, 0)))
        return 0 if found is None else found.offset

    def _route(self, warning: RiskWarning, record: Any, now: int) -> None:
        customer = self._customers.get(warning.customer_id)
        wanted = receivers_of(self._config, warning, customer)
        for receiver in self._config.receivers:
            self._sequence += 1
            notice = Notice(
                receiver=receiver.name,
                sequence=self._sequence,
                arrived_at=now,
                partition=record.partition,
                offset=record.offset,
                warning=warning,
                owner=customer.owner,
                segment=customer.segment,
                country=customer.country,
                trace=trace_in(record),
            )
            if receiver.alertmanager is not None:
                self._alert(notice, is_wanted=receiver.name in wanted)
            elif receiver.name in wanted:
                self._queue(notice)

    def _queue(self, notice: Notice) -> None:
        self.outbox.put(notice)
        self._look_again[notice.receiver] = 0

    def _alert(self, notice: Notice, *, is_wanted: bool) -> None:
        """Set an episode's alert off, change it, or end it: also if it is routed there no more."""
        before = self.outbox.find(
            Alert, key_of(Alert(notice.receiver, notice.warning.episode_id, notice))
        )
        ended = () if before is None or before.notice.labels is None else (before.notice.labels,)
        if not is_wanted or notice.warning.transition == "CLEARED":
            if before is not None:
                self.outbox.drop(before)
                self._queue(structs.replace(notice, ended=ended))
            return
        labels = labels_of(notice)
        own = structs.replace(
            notice, labels=labels, ended=tuple(found for found in ended if found != labels)
        )
        if notice.warning.transition != "DIGEST":
            self.outbox.put(Alert(own.receiver, own.warning.episode_id, own))
        self._queue(own)

    def release(self, now: int) -> None:
        """Make deliveries of what is due."""
        for receiver in self._config.receivers:
            again = self._look_again[receiver.name]
            if again is None or again > now:
                continue
            waiting = list(self.outbox.of(Notice, receiver.name))
            spent = {found.owner: found for found in self.outbox.of(BudgetUse, receiver.name)}
            made = plan(receiver, self._config, waiting, spent, now, self._zone)
            for delivery in made.deliveries:
                self.outbox.put(delivery)
                for notice in delivery.notices:
                    self.outbox.drop(notice)
            for budget in made.spent:
                self.outbox.put(budget)
            self._look_again[receiver.name] = made.next_at

    def next_release(self) -> int | None:
        """When `release` may find something without new warnings."""
        return min((at for at in self._look_again.values() if at is not None), default=None)

    def next_delivery(self, receiver: Receiver, now: int) -> Delivery | None:
        """What a receiver is to get now. One that pauses after a failure holds the later ones."""
        for delivery in self.outbox.of(Delivery, receiver.name, PENDING):
            if delivery.next_at > now:
                return None
            if due_at(delivery, receiver, now, self._zone) <= now:
                return delivery
        return None

    def record_attempt(
        self, delivery: Delivery, result: Result, receiver: Receiver, now: int
    ) -> Delivery:
        """Note how an attempt ended; return the delivery as it then is."""
        after = after_attempt(delivery, result, now, receiver.give_up_after_h)
        if after is None:
            self.outbox.drop(delivery)
            return delivery
        self.outbox.put(after)
        return after

    def alerts(self, receiver: Receiver) -> list[Notice]:
        """What an Alertmanager is to be told again: open, and told once already."""
        under_way = {
            notice.warning.episode_id
            for delivery in self.outbox.of(Delivery, receiver.name, PENDING)
            for notice in delivery.notices
        }
        return [
            found.notice
            for found in self.outbox.of(Alert, receiver.name)
            if found.episode_id not in under_way
        ]

    def undelivered(self, receiver: Receiver, now: int) -> tuple[int, float]:
        """How many warnings a receiver has yet to get, and for how long the oldest delivery waits.

        In seconds; what waits for its group, hour or budget is not late.
        """
        pending = list(self.outbox.of(Delivery, receiver.name, PENDING))
        count = self.outbox.count(Notice, receiver.name)
        count += sum(len(delivery.notices) for delivery in pending)
        oldest = min((delivery.created_at for delivery in pending), default=now)
        return count, (now - oldest) / 1000

    def removed_receivers(self) -> dict[str, int]:
        """Receivers that the configuration does not name any more, and how much they are owed."""
        known = {found.name for found in self._config.receivers}
        owed = Counter(found.receiver for found in self.outbox.all(Notice))
        owed.update(found.receiver for found in self.outbox.all(Delivery))
        return {name: count for name, count in owed.items() if name not in known}

    def held(self) -> int:
        """How many notices and deliveries are kept in memory and not dead."""
        return sum(
            self.outbox.count(Notice, found.name) + self.outbox.count(Delivery, found.name, PENDING)
            for found in self._config.receivers
        )

    def resend(self, wishes: Sequence[Resend]) -> None:
        """Let dead deliveries be tried again."""
        for wish in wishes:
            delivery = self.outbox.find(Delivery, wish.key)
            if delivery is not None and delivery.state == DEAD:
                self.outbox.put(
                    structs.replace(delivery, state=PENDING, refusals=0, attempts=0, next_at=0)
                )
            self.outbox.drop(wish)
