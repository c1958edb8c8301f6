"""The dashboards' queries, as the tests execute them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "grafana"
BOARDS: Final = ("operations", "credit-risk")


def targets(name: str) -> list[dict[str, Any]]:
    """Every query of a dashboard, with its panel's title."""
    board = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return [
        {**target, "title": panel["title"]}
        for panel in board["panels"]
        for target in panel["targets"]
    ]


def promql(target: dict[str, Any]) -> str:
    """A query as Grafana sends it to Prometheus."""
    return str(target["expr"]).replace("$__rate_interval", "5m")


def sql(target: dict[str, Any]) -> str:
    """A query as Grafana's ClickHouse plugin sends it, for all times."""
    text = re.sub(
        r"\$__timeFilter\((.+?)\)(?= AND| ORDER|$)",
        r"\1 >= toDateTime(0) AND \1 <= toDateTime(4294967295)",
        str(target["rawSql"]),
    )
    day = r"toStartOfInterval(\1, INTERVAL 86400 second)"
    return re.sub(r"\$__timeInterval\((\w+)\)", day, text)
