"""Logs: structure, bound ids, and what never leaves the process at INFO."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from tocsin.agents.observe.logs import Form, bind, configure


@pytest.fixture(autouse=True)
def root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_one_json_object_with_its_fields() -> None:
    out = io.StringIO()
    configure("INFO", "json", stream=out)

    bind(logging.getLogger("tocsin.test"), partition=3).info("committed", extra={"records": 7})

    line = json.loads(out.getvalue())
    assert (line["event"], line["partition"], line["records"]) == ("committed", 3, 7)
    assert line["at"].endswith("Z")


@pytest.mark.parametrize("form", ["json", "text"])
def test_amounts_and_names_are_left_out_above_debug(form: Form) -> None:
    out = io.StringIO()
    configure("DEBUG", form, stream=out)
    logger = logging.getLogger("tocsin.test")

    fields = {"amount_minor": 123456, "customer_name": "Acme", "customer_id": "C1"}
    logger.info("said", extra=fields)
    said = out.getvalue()
    logger.debug("told", extra=fields)
    told = out.getvalue().removeprefix(said)

    assert "123456" not in said
    assert "Acme" not in said
    assert "C1" in said
    assert "Acme" in told


def test_by_itself_it_is_json_where_nobody_looks() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for out, begin in ((io.StringIO(), "{"), (Screen(), "2")):
        configure("INFO", stream=out)
        logging.getLogger("tocsin.test").warning("said")
        assert out.getvalue().startswith(begin)


def test_for_people_fields_are_key_and_value_quoted_where_needed() -> None:
    out = io.StringIO()
    configure("INFO", "text", stream=out)

    logging.getLogger("tocsin.test").warning("held", extra={"topic": "payments", "why": "a storm"})

    assert out.getvalue().rstrip().endswith('held topic=payments why="a storm"')


def test_lines_below_the_level_are_not_written() -> None:
    out = io.StringIO()
    configure("WARNING", "json", stream=out)

    logging.getLogger("tocsin.test").info("quiet")

    assert out.getvalue() == ""
