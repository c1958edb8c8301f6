"""Questions of the commands to ClickHouse: warnings, customers, evidence, policies, refusals.

Records come back as their raw bytes and are decoded by the codec, so that a warning from history
equals the one on the topic. Values reach statements as parameters only.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count, groupby
from operator import itemgetter
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from tocsin.agents.clickhouse.client import ANSWER_WITHIN_S, ClickHouse
from tocsin.agents.deployment.connections import open_clickhouse, open_codec
from tocsin.agents.privacy.encryption import NO_GUARD, PersonalDataGuard, open_decrypting_guard
from tocsin.agents.queries import lookup_sql as sql
from tocsin.agents.settings.errors import ClickHouseRefusedError, ConfigurationError, InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.channels import subject_of
from tocsin.schemas.codec.codec import Codec
from tocsin.schemas.codec.records import DeadLetter
from tocsin.schemas.contracts.catalog import (
    BY_ID,
    CUSTOMERS,
    ENGAGEMENTS,
    INVOICES,
    PAYMENTS,
    SOURCES,
)
from tocsin.schemas.files.near import slips_allowed
from tocsin.streams.decide.risk_warning import Evidence, Exposure, RiskWarning
from tocsin.streams.facts.events import CustomerEvent, Event
from tocsin.streams.facts.texts import Text
from tocsin.streams.measures.severity import SEVERITIES

NOT_SET_UP_CODES = frozenset({60, 81})  # ClickHouse: unknown table, unknown database
ORIGIN_HEADER = "tocsin_origin"  # on a record sent again: topic/partition/offset it was refused at
FOREIGN = "foreign"  # of a record that the intake refused: its header says which topic
EVENT_SOURCES = tuple(topic for topic in SOURCES if topic.name not in ("policies", "clock"))
RECEIVABLE_TOPICS = (CUSTOMERS, INVOICES, PAYMENTS, ENGAGEMENTS)
RECEIVABLE_KINDS = (  # all that changes who a customer is and what it owes
    "CustomerUpdated",
    "InvoiceIssued",
    "InvoiceCancelled",
    "CreditNoteIssued",
    "CreditNoteCancelled",
    "PaymentReceived",
    "PaymentReversed",
    "PaymentRefunded",
    "DisputeOpened",
    "DisputeResolved",
)


class WarningFilter(Struct, frozen=True):
    """Which warnings: empty fields leave all in; `severity` is the least one."""

    is_open: bool = False
    customer_id: str = ""
    rule: str = ""
    severity: str = "LOW"
    phase: str = ""
    since: int = 0  # epoch day
    muted: bool | None = None
    after: tuple[int, int] | None = None  # partition and offset of the last one of the page before
    limit: int = 50


class PlacedWarning(Struct, frozen=True):
    """A warning and where it stands in the warnings topic."""

    partition: int
    offset: int
    warning: RiskWarning


class Refused(Struct, frozen=True):
    """A dead letter, where it stands in the dead-letters topic, and whether it was sent again."""

    partition: int
    offset: int
    letter: DeadLetter
    is_resent: bool


class StoredEvent(Struct, frozen=True):
    """An event of a customer and where it stands."""

    topic_id: int
    partition: int
    offset: int
    timestamp: int
    event: Event


class Decision(Struct, frozen=True):
    """A decision about a customer's credit; `occurred_at` epoch ms, `until` an epoch day."""

    occurred_at: int
    decision_id: str
    kind: str
    outcome: str
    limit_minor: int | None
    currency: str
    prepayment_basis_points: int | None
    until: int | None
    author: str
    reason: str


class Lookup:
    """The history of one deployment."""

    def __init__(
        self, client: ClickHouse, codec: Codec, guard: PersonalDataGuard = NO_GUARD
    ) -> None:
        """Ask `client`; `guard`, the codec's protector too, opens what is encrypted."""
        self._client = client
        self._codec = codec
        self._guard = guard

    def customer(self, customer_id: str) -> str:
        """The name in records of a customer that somebody names; see `Guard.customer`."""
        return self._guard.customer(customer_id)

    def warnings(self, wanted: WarningFilter) -> list[PlacedWarning]:
        """The latest warnings, newest first; open ones by severity and exposure."""
        statement = sql.WARNINGS_WANTED.format(
            view="v_open_warnings" if wanted.is_open else "v_warning_history",
            order=sql.GRAVEST_FIRST if wanted.is_open else sql.NEWEST_FIRST,
        )
        values = {
            "customer": wanted.customer_id,
            "rule": wanted.rule,
            "phase": wanted.phase,
            "severity": wanted.severity,
            "severities": list(SEVERITIES),
            "since": wanted.since,
            "muted": "" if wanted.muted is None else str(wanted.muted).lower(),
            "after_partition": wanted.after[0] if wanted.after else -1,
            "after_offset": wanted.after[1] if wanted.after else -1,
            "limit": wanted.limit,
        }
        return self._placed(statement, values)

    def warnings_with_id(self, warning_id: str) -> list[PlacedWarning]:
        """Warnings whose id begins so; two at most, which tells an ambiguous beginning."""
        return self._placed(sql.WARNING_BY_ID, {"id": warning_id})

    def one_warning(self, warning_id: str) -> PlacedWarning:
        """The only warning whose id begins so. Raises InputError if there is not one."""
        matches = self.warnings_with_id(warning_id)
        if len(matches) != 1:
            what = (
                "several warnings begin with" if matches else "no warning in the history has the id"
            )
            raise InputError(
                f"{what} {warning_id!r}", mend="`tocsin warnings` lists them with their ids"
            )
        return matches[0]

    def episode(self, episode_id: str) -> list[PlacedWarning]:
        """Every step of an episode, oldest first."""
        return self._placed(sql.WARNINGS_OF_EPISODE, {"id": episode_id})

    def episodes(self, customer_id: str, limit: int) -> list[PlacedWarning]:
        """The last step of each of a customer's episodes, the latest first."""
        return self._placed(sql.LAST_OF_EPISODES, {"customer": customer_id, "limit": limit})

    def customers_like(self, text: str, limit: int) -> list[tuple[str, str]]:
        """Ids and names of customers with a text in one of them, in upper or lower case."""
        rows = self._client.rows(sql.CUSTOMERS_LIKE, {"text": text, "limit": limit})
        return [(found, self._guard.naming(found, name)) for found, name in rows]

    def names(self, customer_ids: Collection[str]) -> dict[str, str]:
        """The latest known names of customers, after their own ids where tokens hide those."""
        rows = self._client.rows(sql.NAMES, {"ids": sorted(set(customer_ids))})
        found = {customer_id: self._guard.naming(customer_id, name) for customer_id, name in rows}
        return {customer_id: name for customer_id, name in found.items() if name}

    def owned_by(self, owner: str) -> frozenset[str]:
        """Customers of an owner. Raises InputError if nobody is answerable by that name."""
        owned = frozenset(name for (name,) in self._client.rows(sql.OWNED, {"owner": owner}))
        if not owned:
            owners = ", ".join(name for (name,) in self._client.rows(sql.OWNERS))
            known = owners or "`owner` in the customers' data"
            raise InputError(f"no customer has the owner {owner!r}", mend=f"use {known}")
        return owned

    def policy(self, policy_hash: str) -> tuple[str, str] | None:
        """Canonical document and source text of the policy with this hash."""
        rows = self._client.rows(sql.POLICY, {"hash": policy_hash})
        return (rows[0][0], rows[0][1]) if rows else None

    def journal_hash(self, partition: int) -> tuple[int, str] | None:
        """Offset of a journal's last record, and the SHA-256 of its value; None without one."""
        rows = self._client.rows(sql.JOURNAL_HASH, {"partition": partition})
        return (rows[0][0], rows[0][1]) if rows else None

    def journal_place(self, placed: PlacedWarning) -> tuple[int, int, str] | None:
        """Sequence, offset and hash of the journal record whose transaction wrote the warning.

        Each journal record counts its outputs: warnings, and one dead letter per refusal.
        """
        values = {"partition": placed.partition, "offset": placed.offset}
        rows = self._client.rows(sql.JOURNAL_OF_WARNING, values)
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def evidence(self, wanted: Iterable[Evidence]) -> dict[Evidence, StoredEvent]:
        """The records that pieces of evidence point to, as far as ClickHouse has them."""
        found: dict[Evidence, StoredEvent] = {}
        for evidence in wanted:
            statement = sql.EVENT_AT.format(table=BY_ID[evidence.topic_id].table)
            values = {"partition": evidence.partition, "offset": evidence.offset}
            for row in self._client.rows(statement, values):
                found[evidence] = self._seen(evidence.topic_id, row)
        return found

    def events(self, customer_id: str, limit: int) -> list[StoredEvent]:
        """The latest events of a customer, newest first."""
        values = {"customer": customer_id, "limit": limit}
        found = [
            self._seen(topic.topic_id, row)
            for topic in EVENT_SOURCES
            for row in self._client.rows(sql.EVENTS_OF_CUSTOMER.format(table=topic.table), values)
        ]
        found.sort(key=lambda seen: (seen.timestamp, seen.topic_id, seen.offset), reverse=True)
        return found[:limit]

    def contacts(self, customer_id: str, since: int) -> list[StoredEvent]:
        """Contacts with a customer from an instant (epoch ms) on, as they became known."""
        values = {"customer": customer_id, "since": since}
        rows = self._client.rows(sql.CONTACTS, values)
        return [self._seen(ENGAGEMENTS.topic_id, row) for row in rows]

    def engagements(self, customer_id: str) -> list[CustomerEvent]:
        """All engagements of a customer that were accepted, as they became known."""
        rows = self._client.rows(sql.ENGAGEMENTS_OF_CUSTOMER, {"customer": customer_id})
        return [cast(CustomerEvent, self._seen(ENGAGEMENTS.topic_id, row).event) for row in rows]

    def processes(self, customer_id: str) -> list[tuple[str, str, str, str]]:
        """Where a customer's processes stand: process, case, state, kind."""
        rows = self._client.rows(sql.PROCESSES_OF_CUSTOMER, {"customer": customer_id})
        return [(process, case_id, state, kind) for process, case_id, state, kind in rows]

    def promises(self, customer_id: str, limit: int = 10) -> list[tuple[Any, ...]]:
        """A customer's promises, the latest due first; columns as the statement names them."""
        values = {"customer": customer_id, "limit": limit}
        rows = self._client.rows(sql.PROMISES_OF_CUSTOMER, values)
        return [(*row[:-1], self._author(customer_id, row[-1])) for row in rows]

    def plans(self, customer_id: str, limit: int = 10) -> list[tuple[Any, ...]]:
        """A customer's plans, the latest first, beside what it paid before each was agreed."""
        values = {"customer": customer_id, "limit": limit}
        return list(self._client.rows(sql.PLANS_OF_CUSTOMER, values))

    def shadow_days(self, since: int) -> list[tuple[Any, ...]]:
        """Days from an epoch day on that a candidate judged whole, the latest first."""
        return list(self._client.rows(sql.SHADOW_DAYS, {"since": since}))

    def shadow_differences(self, since: int, rule: str) -> list[tuple[Any, ...]]:
        """What one policy only raised, by day, rule, side, customer and currency, in this order."""
        return list(self._client.rows(sql.SHADOW_DIFFERENCES, {"since": since, "rule": rule}))

    def standing(self, customer_id: str) -> dict[str, Any] | None:
        """The customer's row of the credit file, by column; None for a stranger."""
        answer = self._client.query(sql.STANDING, {"customer": customer_id})
        if not answer.rows:
            return None
        found = dict(zip(answer.columns, answer.rows[0], strict=True))
        return {**found, "name": self._guard.naming(customer_id, found["name"]) or None}

    def score(self, customer_id: str) -> dict[str, Any] | None:
        """The customer's row of the scores, by column; None for a stranger."""
        answer = self._client.query(sql.SCORE, {"customer": customer_id})
        return dict(zip(answer.columns, answer.rows[0], strict=True)) if answer.rows else None

    def next_actions(self, customer_id: str = "") -> list[dict[str, Any]]:
        """The next steps of collection of one customer or all that are past due, by column.

        `past_due` is what is past due in each currency, less money not applied.
        """
        answer = self._client.query(sql.NEXT_ACTIONS, {"customer": customer_id})
        found = [dict(zip(answer.columns, row, strict=True)) for row in answer.rows]
        return [row | {"past_due": [Exposure(*one) for one in row["past_due"]]} for row in found]

    def coming_due(self, days: int, customer_id: str = "") -> list[tuple[str, int, str, int]]:
        """What falls due within some days, of customers with nothing past due.

        Customer, due day (epoch day), currency, open minor units.
        """
        rows = self._client.rows(sql.COMING_DUE, {"days": days, "customer": customer_id})
        return [(customer, due_on, currency, minor) for customer, due_on, currency, minor in rows]

    def customers_with_warning_only(self) -> list[tuple[str, int, str, Text, list[Exposure]]]:
        """Of customers without a step to take: the gravest warning that is open and not muted.

        Customer, severity (1 LOW to 4 CRITICAL), rule, what to do, and what is owed by now in each
        currency that the customer has an account in.
        """
        rows = self._client.rows(sql.WARNED_ONLY, {"severities": list(SEVERITIES)})
        return [
            (name, severity, rule, Text(en, zh), [Exposure(*account) for account in accounts])
            for name, severity, rule, en, zh, accounts in rows
        ]

    def credit(self, customer_id: str) -> dict[str, Any]:
        """What is in force of a customer's credit decisions, by column; empty for a stranger."""
        answer = self._client.query(sql.CREDIT_DECISIONS, {"customer": customer_id})
        return dict(zip(answer.columns, answer.rows[0], strict=True)) if answer.rows else {}

    def decisions(self, customer_id: str, limit: int = 20) -> list[Decision]:
        """The latest decisions about a customer's credit, newest first."""
        values = {"customer": customer_id, "limit": limit}
        found = [Decision(*row) for row in self._client.rows(sql.DECISIONS_OF_CUSTOMER, values)]
        return [replace(one, author=self._author(customer_id, one.author)) for one in found]

    def policy_in_force(self) -> str | None:
        """Canonical document of the policy by which was decided last."""
        rows = self._client.rows(sql.POLICY_IN_FORCE)
        return rows[0][0] if rows else None

    def due(self, customer_id: str) -> list[tuple[str, int, int, int]]:
        """Open amounts: currency, due day (epoch days), open minor units, items; oldest first."""
        rows = self._client.rows(sql.DUE, {"customer": customer_id})
        return [(currency, due, open_minor, items) for currency, due, open_minor, items in rows]

    def aging(self) -> list[tuple[str, str, str, int, int, int]]:
        """Open amounts as of the business date.

        Currency, segment, bucket, open minor units, items, customers.
        """
        return [(row[0], row[1] or "", *row[2:]) for row in self._client.rows(sql.AGING)]

    def business_date(self) -> int | None:
        """The latest open business date (epoch day) of any partition; None before the first."""
        return cast(int | None, self._client.rows(sql.BUSINESS_DATE)[0][0])

    def total_due(self, customer_id: str = "") -> dict[str, int]:
        """Open minor units by currency, of one customer or of all, as the worker has them."""
        rows = self._client.rows(sql.TOTAL_DUE, {"customer": customer_id})
        return {currency: open_minor for currency, open_minor in rows if open_minor}

    def receivable_facts(
        self, customer_id: str = ""
    ) -> Iterator[tuple[str, list[tuple[int, CustomerEvent]]]]:
        """By customer, one or all: the facts that say what it owes, with their sequence times.

        In the order in which they are folded: by time, which never goes back within a topic.
        """
        facts = "UNION ALL".join(
            sql.RECEIVABLE_FACTS.format(table=topic.table) for topic in RECEIVABLE_TOPICS
        )
        values = {"customer": customer_id, "kinds": list(RECEIVABLE_KINDS)}
        statement = sql.IN_ORDER.format(facts=facts)
        rows = (row for block in self._client.stream(statement, values) for row in block)
        for found, group in groupby(rows, key=itemgetter(0)):
            yield found, self._in_order(group)

    def _in_order(self, rows: Iterable[tuple[Any, ...]]) -> list[tuple[int, CustomerEvent]]:
        latest: dict[int, int] = {}
        placed = []
        for _, topic_id, offset, timestamp, value in rows:
            latest[topic_id] = max(latest.get(topic_id, timestamp), timestamp)
            event = self._opened(topic_id, value)
            fact = (timestamp, cast(CustomerEvent, event))
            placed.append(((latest[topic_id], topic_id, offset), fact))
        return [fact for _, fact in sorted(placed, key=itemgetter(0))]

    def similar(self, customer_id: str) -> list[str]:
        """Known customer ids, three at most, that are fewest slips from one that is not known.

        None if all are far from it.
        """
        values = {"customer": customer_id, "slips": slips_allowed(customer_id)}
        rows = self._client.rows(sql.SIMILAR_CUSTOMERS, values)
        return [found for found, slips in rows if slips == rows[0][1]]

    def unknown_customer(self, customer_id: str) -> InputError:
        """What to raise where a customer is not known."""
        if self._guard.is_on and not self._guard.is_open:
            return InputError(
                f"no customer {customer_id!r} in the history, where customers are known by tokens",
                mend="give its token, or set keys_dir and master_key_file or kms_url",
            )
        near = ", ".join(self.similar(customer_id))
        return InputError(
            f"no customer {customer_id!r} in the history",
            mend=f"did you mean one of {near}?" if near else "write its id as the events have it",
        )

    def require_customer(self, customer_id: str) -> None:
        """Raise InputError if the history does not know this customer."""
        if self.standing(customer_id) is None:
            raise self.unknown_customer(customer_id)

    def dead_letters(
        self, *, topic_id: int | None = None, code: str = "", limit: int = 50
    ) -> list[Refused]:
        """The latest dead letters, newest first."""
        topic = -1 if topic_id is None else topic_id
        values = {"topic": topic, "code": code, "limit": limit}
        return self._refused(sql.DEAD_LETTERS_WANTED, values)

    def letters_to_send(self, code: str, limit: int, *, again: bool) -> list[Refused]:
        """The oldest dead letters of a code; not those that were sent again, unless `again`."""
        found: list[Refused] = []
        for skip in count(0, limit):
            page = self._refused(sql.DEAD_LETTERS_OF, {"code": code, "limit": limit, "skip": skip})
            found += [refused for refused in page if again or not refused.is_resent]
            if len(page) < limit or len(found) >= limit:
                break
        return found[:limit]

    def dead_letter(self, topic_id: int, partition: int, offset: int) -> Refused | None:
        """The dead letter of the record that was refused at that place."""
        values = {"topic": topic_id, "partition": partition, "offset": offset}
        found = self._refused(sql.DEAD_LETTER_AT, values)
        return found[0] if found else None

    def _refused(self, statement: str, values: Mapping[str, Any]) -> list[Refused]:
        rows = self._client.rows(statement, values)
        resent = self._resent() if rows else frozenset()
        found = []
        for partition, offset, value in rows:
            stored = self._codec.decode_dead_letter(base64.b64decode(value))
            letter = self._guard.open_letter(stored)
            found.append(Refused(partition, offset, letter, place_of(letter) in resent))
        return found

    def _resent(self) -> frozenset[str]:
        """Places of refused records that were sent again."""
        statements = [sql.RESENT.format(table=topic.table) for topic in EVENT_SOURCES]
        rows = self._client.rows("UNION ALL".join(statements), {"header": ORIGIN_HEADER})
        return frozenset(place for (place,) in rows if place)

    def _placed(self, places: str, values: Mapping[str, Any]) -> list[PlacedWarning]:
        """Warnings at the places that a statement names, in its order."""
        found = [(partition, offset) for partition, offset in self._client.rows(places, values)]
        if not found:
            return []
        raw = {
            (partition, offset): value
            for partition, offset, value in self._client.rows(sql.RAW_WARNINGS, {"places": found})
        }
        return [
            PlacedWarning(*place, self._codec.decode_warning(base64.b64decode(raw[place])))
            for place in found
        ]

    def _seen(self, topic_id: int, row: tuple[Any, ...]) -> StoredEvent:
        partition, offset, timestamp, value = row
        event = self._opened(topic_id, value)
        return StoredEvent(topic_id, partition, offset, timestamp, event)

    def _opened(self, topic_id: int, value: str) -> Event:
        """A record's event, with what is encrypted in it opened."""
        event = self._codec.decode(topic_id, base64.b64decode(value))
        return self._codec.reveal(topic_id, event)

    def _author(self, customer_id: str, author: str | None) -> Any:
        subject = subject_of(ENGAGEMENTS)
        return author and self._guard.reveal(subject, "author", customer_id, author)


@contextmanager
def open_history(
    settings: Settings, answer_within_s: int = ANSWER_WITHIN_S
) -> Iterator[ClickHouse]:
    """Open ClickHouse to read what the audit wrote.

    Raises ConfigurationError if it was never set up, UnavailableError.
    """
    client = open_clickhouse(settings, is_reader=True, answer_within_s=answer_within_s)
    try:
        yield client
    except ClickHouseRefusedError as error:
        if error.code in NOT_SET_UP_CODES:
            raise ConfigurationError(
                f"ClickHouse at {settings.clickhouse_url} holds no history of tocsin yet",
                mend="start `tocsin audit`, which sets it up and fills it",
            ) from error
        raise
    finally:
        client.close()


@contextmanager
def open_lookup(settings: Settings, answer_within_s: int = ANSWER_WITHIN_S) -> Iterator[Lookup]:
    """Open the history for questions. Raises ConfigurationError, UnavailableError."""
    with open_history(settings, answer_within_s) as client:
        guard = open_decrypting_guard(settings)
        yield Lookup(client, open_codec(settings, guard), guard)


def place_of(letter: DeadLetter) -> str:
    """How people name a refused record: topic/partition/offset it was read from."""
    topic = BY_ID.get(letter.topic_id)
    return f"{topic.name if topic else FOREIGN}/{letter.partition}/{letter.offset}"
