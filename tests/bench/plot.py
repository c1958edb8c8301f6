"""A picture of the runners' speed, drawn by the peers' environment, which has matplotlib.

python plot.py RESULTS TARGET: reads the benchmark's JSON, writes an SVG file. A bar that is wrong,
with warnings missing or spurious, is drawn in another colour.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCK = "requirements.lock"
RIGHT, WRONG = "#2f6f8f", "#c26a4a"


def write(results: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Draw speed.svg into a folder if any runner was run."""
    from peers import interpreter
    from services import tell

    runners = {name: line for name, line in results.items() if "events_per_second_all" in line}
    if not runners:
        return
    data, target = out / "speed.json", out / "speed.svg"
    data.write_text(json.dumps(runners))
    subprocess.run([interpreter(LOCK), __file__, str(data), str(target)], check=True)
    tell(f"drawn: {target}")


def draw(runners: Mapping[str, Mapping[str, Any]], target: Path) -> None:
    """One bar per runner, the fastest on top; thin lines from the slowest to the fastest round."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    ordered = sorted(runners.items(), key=lambda item: item[1]["events_per_second"])
    names = [name for name, _ in ordered]
    rates = [line["events_per_second"] for _, line in ordered]
    spans = [
        [line["events_per_second"] - min(line["events_per_second_all"]) for _, line in ordered],
        [max(line["events_per_second_all"]) - line["events_per_second"] for _, line in ordered],
    ]
    colours = [WRONG if line["missing"] or line["spurious"] else RIGHT for _, line in ordered]
    figure, axes = pyplot.subplots(figsize=(9, 0.5 * len(names) + 1.5), layout="constrained")
    axes.barh(names, rates, xerr=spans, color=colours, ecolor="#888888", capsize=3)
    for place, (rate, (_, line)) in enumerate(zip(rates, ordered, strict=True)):
        errors = line["missing"] + line["spurious"]
        axes.text(rate, place + 0.28, f" {rate:,}" + (f", {errors:,} wrong" if errors else ""))
    axes.set_xlabel("events per second, median, from the first record to the last commit")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(target)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
