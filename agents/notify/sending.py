"""From a delivery to a message, and from a receiver's configuration to what sends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.agents.notify.config import Config, Receiver
from tocsin.agents.notify.customers import Customers
from tocsin.agents.notify.deliver import Message, Sender
from tocsin.agents.notify.deliver_http import AlertmanagerSender, Webhook
from tocsin.agents.notify.deliver_mail import MailSender
from tocsin.agents.notify.deliver_robots import Robot, RobotKind
from tocsin.agents.notify.deliver_texts import line_of, title_of
from tocsin.agents.notify.outbox import Delivery, Notice
from tocsin.agents.render.warning_cards import WarningView
from tocsin.agents.settings.formats import day, instant
from tocsin.schemas.contracts.catalog import BY_ID, WARNINGS

TYPE = "tocsin.warnings"


def sender_of(receiver: Receiver) -> Sender:
    """What sends to a receiver. Raises ConfigurationError if its secrets or files can't be read."""
    what, timeout_s = f"receiver {receiver.name}", float(receiver.timeout_s)
    if receiver.webhook is not None:
        return Webhook(receiver.webhook, timeout_s, what)
    if receiver.alertmanager is not None:
        return AlertmanagerSender(receiver.alertmanager, timeout_s, what)
    if receiver.mail is not None:
        return MailSender(receiver.mail, timeout_s, what)
    robots: Sequence[RobotKind] = ("wecom", "dingtalk", "feishu")
    kind = next(kind for kind in robots if getattr(receiver, kind) is not None)
    return Robot(kind, getattr(receiver, kind), timeout_s, what)


class MessageTexts:
    """Puts deliveries into words; names of customers are looked up now and kept nowhere."""

    def __init__(self, config: Config, customers: Customers) -> None:
        self._config = config
        self._customers = customers

    def message(self, delivery: Delivery, receiver: Receiver, trace: str = "") -> Message:
        """What is to be said, for people and for programs, and the `traceparent` to go with it."""
        notices = delivery.notices
        view = self._view(notices, receiver)
        title = title_of(notices, receiver.language, receiver.title, view)
        lines = self.lines(notices, receiver)
        return Message(
            id=delivery.id,
            title=title,
            heads=self.heads(notices, receiver),
            lines=lines,
            notices=notices,
            data={
                "type": TYPE,
                "id": delivery.id,
                "receiver": receiver.name,
                "created_at": _iso(delivery.created_at),
                "title": title,
                "text": "\n\n".join(lines),
                "warnings": [self._warning(notice) for notice in notices],
            },
            trace=trace,
        )

    def heads(self, notices: Sequence[Notice], receiver: Receiver) -> list[str]:
        """A title for each notice alone."""
        view = self._view(notices, receiver)
        return [title_of([notice], receiver.language, receiver.title, view) for notice in notices]

    def lines(self, notices: Sequence[Notice], receiver: Receiver) -> list[str]:
        """A paragraph for each notice."""
        view = self._view(notices, receiver)
        return [line_of(notice, receiver.language, receiver.line, view) for notice in notices]

    def _view(self, notices: Sequence[Notice], receiver: Receiver) -> WarningView:
        ids = {notice.warning.customer_id for notice in notices}
        names = {found: name for found in ids if (name := self._customers.get(found).name)}
        return WarningView(receiver.language, names)

    def _warning(self, notice: Notice) -> Mapping[str, Any]:
        """A warning as programs get it: the schema's fields, and what is known beside them."""
        warning = notice.warning
        fields = {name: getattr(warning, name) for name in warning.__struct_fields__}
        fields["as_of"] = day(warning.as_of)
        fields["occurred_at"] = _iso(warning.occurred_at)
        fields["evidence"] = [
            {
                "topic": BY_ID[evidence.topic_id].name,
                "partition": evidence.partition,
                "offset": evidence.offset,
                "id": evidence.id,
            }
            for evidence in warning.evidence
        ]
        return {
            **fields,
            "customer_name": self._customers.get(warning.customer_id).name,
            "owner": notice.owner,
            "segment": notice.segment,
            "country": notice.country,
            "source": {
                "topic": WARNINGS.name,
                "partition": notice.partition,
                "offset": notice.offset,
            },
        }


def _iso(epoch_ms: int) -> str:
    return instant(epoch_ms).replace(" ", "T")
