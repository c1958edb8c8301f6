"""Health by progress: what has work must advance, what has none is well."""

from __future__ import annotations

import json
import socket

import aiohttp
import pytest

from tocsin.agents.observe.metrics import Metrics, Program
from tocsin.agents.observe.probes import Probe, claim_port, serve_probes
from tocsin.agents.settings.errors import ConfigurationError
from tocsin.agents.settings.settings import Settings

BOUND_S = 300.0


class Clock:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def probe(clock: Clock) -> Probe:
    return Probe(Metrics(Program.AUDIT), BOUND_S, clock)


def test_work_that_stands_still_longer_than_the_bound_is_not_alive(
    probe: Probe, clock: Clock
) -> None:
    probe.progress("3", done=10, waiting=5)
    clock.now_s += BOUND_S
    probe.progress("3", done=10, waiting=6)
    assert probe.live().status == 200

    clock.now_s += 1

    assert probe.live().status == 503
    assert json.loads(probe.live().body)["stalled"] == ["3"]
    assert b"tocsin_stalled 1.0" in probe.numbers().body


def test_every_advance_starts_the_bound_afresh(probe: Probe, clock: Clock) -> None:
    for done in range(4):
        probe.progress("0", done=done, waiting=100)
        clock.now_s += BOUND_S - 1

    assert probe.live().status == 200


def test_who_has_nothing_to_do_is_alive_for_ever(probe: Probe, clock: Clock) -> None:
    probe.progress("0", done=10, waiting=0)
    clock.now_s += 100 * BOUND_S
    probe.progress("0", done=10, waiting=0)

    assert probe.live().status == 200


def test_the_bound_begins_when_work_comes(probe: Probe, clock: Clock) -> None:
    probe.progress("0", done=10, waiting=0)
    clock.now_s += 10 * BOUND_S
    probe.progress("0", done=10, waiting=1)
    clock.now_s += BOUND_S

    assert probe.live().status == 200


def test_lanes_that_somebody_else_has_now_are_forgotten(probe: Probe, clock: Clock) -> None:
    probe.progress("0", done=1, waiting=1)
    probe.progress("1", done=1, waiting=1)
    probe.keep(["1"])
    clock.now_s += 2 * BOUND_S

    assert probe.stalled() == ["1"]


def test_ready_is_nobody_who_has_not_started(probe: Probe) -> None:
    probe.is_ready = True
    assert (probe.startup().status, probe.ready().status) == (503, 503)

    probe.is_started = True
    assert (probe.startup().status, probe.ready().status) == (200, 200)

    probe.is_ready = False
    assert (probe.startup().status, probe.ready().status) == (200, 503)
    assert b"tocsin_ready 0.0" in probe.numbers().body


async def test_the_pages_are_served_at_a_free_port(probe: Probe) -> None:
    probe.is_started = True
    async with (
        serve_probes(Settings(), 0, probe, "audit_port") as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):
        statuses = {}
        for page in ("startup", "ready", "live"):
            async with session.get(f"/health/{page}") as answer:
                statuses[page] = answer.status
        assert statuses == {"startup": 200, "ready": 503, "live": 200}
        async with session.get("/metrics") as answer:
            assert answer.content_type == "text/plain"
            assert 'tocsin_build_info{program="audit"' in await answer.text()


async def test_a_taken_port_is_named_with_the_setting_that_mends_it(probe: Probe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        wanted = f"port {port} of 127.0.0.1 .* something else listens there; .* by audit_port, or 0"

        chosen = Settings(origins={"audit_port": "--set audit_port"})
        with pytest.raises(ConfigurationError, match=wanted):
            async with serve_probes(chosen, port, probe, "audit_port"):
                pass


def test_a_port_that_nobody_chose_gives_way_to_a_stack_that_runs_already() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        found = claim_port(Settings(console_port=port), "console_port")

    assert found not in (0, port)


def test_a_port_of_another_machine_is_no_defect() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be served at"):
        claim_port(Settings(web_host="203.0.113.7"), "web_port")


def test_a_claimed_port_is_free_again() -> None:
    port = claim_port(Settings(web_port=0), "web_port")

    assert claim_port(Settings(web_port=port), "web_port") == port
