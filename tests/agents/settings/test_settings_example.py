"""The example of a configuration file: every setting with its default, all of them commented out.

After a change of settings: python -m tests.agents.settings.test_settings_example >
deploy/examples/tocsin.toml
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

from tocsin.agents.settings.settings import ABOUT, DEFAULTS, NAMES, SECRET_FILES, Settings, load

EXAMPLE = Path(__file__).parents[3] / "deploy" / "examples" / "tocsin.toml"
HEAD = """\
# Settings of tocsin, with their defaults: take away the # of those that you change.
# Given by --config or TOCSIN_CONFIG. A flag (--set name=value) is stronger than a variable
# (TOCSIN_NAME), a variable is stronger than this file. `tocsin doctor --settings` tells what is in
# force. Passwords and tokens are best in files of their own, which the settings ..._file name.
"""


def written() -> str:
    """The example as it must be."""
    parts = [HEAD]
    for name in NAMES:
        value = "" if name in SECRET_FILES or DEFAULTS[name] is None else DEFAULTS[name]
        parts.append(f"# {ABOUT[name]}\n# {name} = {json.dumps(value)}\n")
    return "\n".join(parts)


def test_the_example_names_every_setting_with_its_default() -> None:
    assert EXAMPLE.read_text() == written()


def test_the_example_without_its_marks_is_right_and_changes_nothing(tmp_path: Path) -> None:
    # A secret's own text and its file exclude each other; where nothing is set there is no word.
    unset = {name for name in NAMES if DEFAULTS[name] is None} | SECRET_FILES.keys()
    text = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE)
    values = {name: value for name, value in tomllib.loads(text).items() if name not in unset}
    config = tmp_path / "tocsin.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))

    assert load(config=config, discover=False) == Settings()


if __name__ == "__main__":
    sys.stdout.write(written())
