"""`tocsin keys` and `tocsin erase`: the keys of customers, and the end of one."""

from __future__ import annotations

import time
from typing import Any

import click
from msgspec import to_builtins

from tocsin.agents.commands.groups import Group
from tocsin.agents.commands.options import Named, connected, run
from tocsin.agents.deployment.control import author, control_time_ms, open_announcer
from tocsin.agents.deployment.topics import require_topic
from tocsin.agents.kafka.partitioning import partition_of
from tocsin.agents.privacy.encryption import PersonalDataGuard, master_of, open_keys
from tocsin.agents.privacy.keys import QUARANTINE, SHARED, Erasure, Keyring
from tocsin.agents.privacy.master_key import MasterFile
from tocsin.agents.render.terminal import Column, Terminal
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import Settings
from tocsin.schemas.codec.jsonlines import iso_instant
from tocsin.schemas.contracts.catalog import CLOCK
from tocsin.streams.facts.events import CustomerErased

ENDS_SHOWN = 50


@click.group("keys", cls=Group)
def keys() -> None:
    """The keys by which personal data are encrypted, and customers known by tokens."""


@keys.command("init")
@connected
def keys_init(settings: Settings, terminal: Terminal) -> None:
    """Make the master key and the keys that all customers share; refuses where there are any.

    Keep a copy of the master key away from this machine: without it nothing is ever read again.
    """
    if settings.kms_url:
        from tocsin.agents.privacy.vault import open_vault  # as in `master_of`

        vault = open_vault(settings)
        vault.create()
        where = f"key {settings.kms_key} at {settings.kms_url}"
        Keyring.create(settings.keys_path, vault)
    else:
        where = settings.master_key_file
        made = master_of(settings) if settings.master_key_path.exists() else None
        Keyring.create(settings.keys_path, made or MasterFile.create(settings.master_key_path))
    terminal.result({"keys_dir": str(settings.keys_path), "master_key": where})
    terminal.say(f"keys in {settings.keys_path}, wrapped by {where}")
    if not settings.privacy:
        terminal.note("nothing is encrypted before the setting `privacy` is true")


@keys.command("rotate")
@click.option("--customer", "customer_id", default="", metavar="ID", help="Only this one's key.")
@connected
def keys_rotate(settings: Settings, terminal: Terminal, customer_id: str) -> None:
    """Wrap all keys by a new master key and destroy the old one; no record changes.

    With --customer the customer gets a new version of its key instead: what was written before
    stays readable, and a fact sent again counts as a correction of its texts.
    """
    keyring = open_keys(settings)
    if customer_id:
        entry = keyring.renew(_token(keyring, customer_id))
        terminal.result({"owner": entry.owner, "version": entry.version})
        terminal.say(f"{entry.owner} is encrypted by version {entry.version} from now on")
        return
    count = keyring.rotate()
    terminal.result({"rewrapped": count})
    terminal.say(f"{count} keys wrapped anew; the old master key is destroyed")


@keys.command("list")
@connected
def keys_list(settings: Settings, terminal: Terminal) -> None:
    """Count the keys, and tell which were destroyed: when, by whom, why."""
    entries = list(open_keys(settings).entries())
    customers = [entry for entry in entries if entry.owner not in SHARED]
    ended = [(entry.owner, erasure) for entry in entries for erasure in entry.erasures]
    alive = sum(not entry.is_erased for entry in customers)
    terminal.result(
        {
            "customers": alive,
            "erased": len(customers) - alive,
            "keys": sum(len(entry.keys) for entry in entries),
            "erasures": [{"owner": owner, **to_builtins(end)} for owner, end in ended],
        }
    )
    terminal.facts([("customers", f"{alive:,}"), ("erased", f"{len(customers) - alive:,}")])
    columns = [Column("destroyed"), Column("whose"), Column("by"), Column("why", wraps=True)]
    latest = sorted(ended, key=lambda pair: (pair[1].at, pair[0]), reverse=True)[:ENDS_SHOWN]
    rows = [(end.at or "-", owner, end.author, end.reason) for owner, end in latest]
    terminal.table(columns, rows, empty="no key was destroyed")


@keys.command("token")
@click.argument("customer_id", metavar="CUSTOMER", type=Named())
@connected
def keys_token(settings: Settings, terminal: Terminal, customer_id: str) -> None:
    """Tell the token of a customer, as a policy's overrides and other systems need it."""
    token = _token(open_keys(settings), customer_id)
    terminal.result({"customer_id": customer_id, "token": token})
    terminal.say(token)


@click.command("erase")
@click.argument("customer_id", metavar="[CUSTOMER]", default="")
@click.option("--quarantine", is_flag=True, help="Instead: refused records of unknown customers.")
@click.option(
    "--reason", type=Named(), required=True, help="Why; kept for ever, so name no person."
)
@click.option("--author", "by_whom", default="", help="Who; TOCSIN_AUTHOR or this user if not.")
@connected
def erase(
    settings: Settings,
    terminal: Terminal,
    *,
    customer_id: str,
    quarantine: bool,
    reason: str,
    by_whom: str,
) -> None:
    """Destroy a customer's key: nothing personal of it can be read again, anywhere. No way back.

    Its documents and warnings stay under its token, so that every proof holds. That it was done
    is a record on the topic clock. Old backups of the keys' folder open with the old master key:
    `tocsin keys rotate` ends that.
    """
    if bool(customer_id) == quarantine:
        raise click.UsageError("name a CUSTOMER, or give --quarantine")
    if not settings.privacy:
        raise InputError(
            "this deployment encrypts nothing", mend="set privacy to true before data are written"
        )
    keyring = open_keys(settings)
    owner = QUARANTINE if quarantine else _token(keyring, customer_id)
    if keyring.entry(owner) is None:
        raise InputError(
            f"there is no key of {customer_id}", mend="`tocsin customer ID` tells who is known"
        )
    done = run(_erase(settings, keyring, owner, by_whom or author(), reason))
    terminal.result(done)
    terminal.say(f"{done['keys']} keys of {owner} destroyed; told at {done['at']} on {CLOCK.name}")


async def _erase(
    settings: Settings, keyring: Keyring, owner: str, by_whom: str, reason: str
) -> dict[str, Any]:
    """Destroy, then tell. Whatever is in the way of telling is found out before."""
    await require_topic(settings, CLOCK)
    event = CustomerErased(token=owner, author=by_whom, reason=reason)
    at = iso_instant(time.time_ns() // 1_000_000)
    guard = PersonalDataGuard(keyring, is_on=True)
    async with open_announcer(settings, "erase", guard) as announcer:
        count = keyring.erase(owner, Erasure(at, by_whom, reason))
        place = partition_of(owner.encode(), settings.partitions)
        await announcer.send(CLOCK, event, await control_time_ms(settings), [place])
    return {"owner": owner, "keys": count, "at": at, "author": by_whom, "reason": reason}


def _token(keyring: Keyring, customer_id: str) -> str:
    return PersonalDataGuard(keyring, is_on=True).customer(customer_id)
