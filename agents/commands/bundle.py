"""`tocsin bundle`: all that is known of a customer, as evidence in one file; and its check."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click

from tocsin.agents.anchors.papers import beside, check_paper, sign_paper
from tocsin.agents.bundle.archive import BundleError, packed, unpacked
from tocsin.agents.bundle.contents import Contents, files_of, record_place
from tocsin.agents.bundle.reading import gather
from tocsin.agents.bundle.verdict import Verdict, judge, with_signature
from tocsin.agents.commands.options import GivenPath, Named, TargetPath, connected, run
from tocsin.agents.deployment.connections import open_codec
from tocsin.agents.kafka.brokers import connect, translating_failures
from tocsin.agents.privacy.encryption import open_decrypting_guard
from tocsin.agents.queries.lookup import open_history
from tocsin.agents.render.terminal import Terminal
from tocsin.agents.replay.replay import KafkaLog
from tocsin.agents.settings.errors import ConfigurationError, InputError
from tocsin.agents.settings.exits import Exit
from tocsin.agents.settings.settings import Settings
from tocsin.agents.settings.whole_files import writing_whole
from tocsin.schemas.contracts.catalog import APPEND_ONLY, JOURNAL

SHOWN_MAX = 20


@click.command("bundle")
@click.argument("customer_id", metavar="[CUSTOMER]", required=False, type=Named())
@click.option("--out", type=TargetPath(), help="The zip to write.")
@click.option("--episode", default="", metavar="ID", help="Only what concerns this episode.")
@click.option(
    "--verify",
    "checked",
    type=GivenPath(),
    help="Check a bundle instead of making one.",
)
@click.option("--offline", is_flag=True, help="Check it by itself, without the topics.")
@connected
def bundle(
    settings: Settings,
    terminal: Terminal,
    *,
    customer_id: str | None,
    out: Path | None,
    episode: str,
    checked: Path | None,
    offline: bool,
) -> Exit:
    """Write a customer's history as evidence, or check such a file.

    Facts, money, contacts, promises, disputes, warnings with what they rest on, silences and every
    policy: as tables, and as the raw records with their hashes, up to a record of the journal. A
    check looks whether the file says what its records say, and whether those are the topics', all
    of them; exit code 1 if not. With --offline it can only tell whether a file contradicts itself,
    and names what stays unproven.
    """
    if checked is not None:
        if customer_id or out or episode:
            raise click.UsageError("--verify takes a bundle, and no customer, --out or --episode")
        return _verify(settings, terminal, checked, offline)
    if not customer_id or out is None:
        raise click.UsageError("name a CUSTOMER and --out FILE, or give --verify FILE")
    guard = open_decrypting_guard(settings)
    codec = open_codec(settings, guard)
    with open_history(settings) as client:
        contents = gather(settings, client, codec, guard.customer(customer_id), episode)
    content = packed(files_of(contents, codec))
    with writing_whole(out) as file:
        file.write(content)
    _tell(terminal, out, contents, content, sign_paper(settings, out, content))
    return Exit.OK


def _tell(
    terminal: Terminal, path: Path, contents: Contents, content: bytes, signed_by: str | None
) -> None:
    digest = hashlib.sha256(content).hexdigest()
    terminal.result(
        {
            "file": str(path),
            "sha256": digest,
            "signed_by": signed_by,
            "customer_id": contents.customer_id,
            "episode_id": contents.episode_id or None,
            "records": len(contents.records),
            "warnings": len(contents.warnings),
            "policies": len(contents.policies),
            "journal": record_place(contents.journal),
        }
    )
    terminal.say(
        f"{path}: {len(contents.records):,} records and {len(contents.warnings):,} warnings of "
        f"{contents.customer_id}, {len(contents.policies)} policies"
    )
    terminal.say(f"sha256 {digest}")
    if signed_by is None:
        terminal.note("not signed: there is no key, make one with `tocsin anchor key`")
    else:
        terminal.say(f"signed by {signed_by}, in {beside(path)}")


def _verify(settings: Settings, terminal: Terminal, path: Path, offline: bool) -> Exit:
    content = path.read_bytes()
    try:
        unpacked(content)  # what is no bundle is told before Kafka is asked for
        if not (offline or settings.bootstrap_servers):
            raise InputError(
                "no Kafka is known to compare the bundle with",
                mend="set bootstrap_servers, or see with --offline whether it agrees with itself",
            )
        verdict = run(_judged(settings, content, offline))
    except BundleError as error:
        raise InputError(f"{path}: {error}", mend="make it anew") from error
    signature = check_paper(settings, path, content)
    verdict = with_signature(verdict, signature)
    terminal.result(
        {
            "file": str(path),
            "customer_id": verdict.contents.customer_id,
            "journal": verdict.manifest.journal,
            "business_date": verdict.manifest.business_date,
            "is_sound": verdict.is_sound,
            "signed_by": signature.fingerprint,
            "compared_with_topics": verdict.is_compared,
            "problems": verdict.problems,
            "unproven": verdict.unproven,
        }
    )
    _tell_verdict(terminal, path, verdict)
    return Exit.DIFFERENCE if verdict.problems else Exit.OK


async def _judged(settings: Settings, content: bytes, offline: bool) -> Verdict:
    codec = open_codec(settings, open_decrypting_guard(settings))
    if offline:
        return await judge(content, codec, None, settings.partitions)
    async with connect(settings) as brokers:
        topics = await brokers.partitions()
    missing = sorted({settings.topic(topic) for topic in APPEND_ONLY} - topics.keys())
    if missing:
        raise ConfigurationError(
            f"there is no topic {missing[0]} to compare the bundle with",
            mend="check bootstrap_servers and topic_prefix, or give --offline",
        )
    async with translating_failures(settings):
        partitions = topics[settings.topic(JOURNAL)]
        return await judge(content, codec, KafkaLog(settings), partitions)


def _tell_verdict(terminal: Terminal, path: Path, verdict: Verdict) -> None:
    for problem in verdict.problems[:SHOWN_MAX]:
        terminal.say(problem, style="red")
    if len(verdict.problems) > SHOWN_MAX:
        terminal.say(f"and {len(verdict.problems) - SHOWN_MAX} more; --json has all")
    until = f"up to {verdict.manifest.journal}, business date {verdict.manifest.business_date}"
    if verdict.signed_by and not verdict.problems:
        terminal.say(f"{path} is as {verdict.signed_by} has signed it")
    if verdict.is_sound:
        terminal.say(f"{path} is sound: the topics have these records, and no others, {until}")
    elif not verdict.problems:
        terminal.say(f"{path} agrees with itself, {until}. Only the topics can tell")
        for question in verdict.unproven:
            terminal.say(f"- {question}")
