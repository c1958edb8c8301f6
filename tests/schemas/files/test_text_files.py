"""Files that people write are not read beyond what they may hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tocsin.agents.console.users import TOKENS_BYTES_MAX, TokenFile
from tocsin.agents.deployment.policies import first_event
from tocsin.agents.notify.config import load_notify
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.settings import load
from tocsin.schemas.codec.foreign_values import MappingError
from tocsin.schemas.codec.mapping import load_mapping
from tocsin.schemas.files.text_files import read_text
from tocsin.schemas.files.yaml_files import POLICY_BYTES_MAX
from tocsin.streams.facts.convention import Convention


def test_a_file_of_just_the_length_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("ü" * 5)

    assert read_text(path, 10) == "ü" * 5
    with pytest.raises(OSError, match="exceeds 9 bytes"):
        read_text(path, 9)


@pytest.mark.parametrize(
    ("read", "refusal", "bytes_max"),
    [
        (lambda path: load_mapping(path, Convention()), MappingError, POLICY_BYTES_MAX),
        (lambda path: first_event(load({}, discover=False), path), InputError, POLICY_BYTES_MAX),
        (load_notify, InputError, POLICY_BYTES_MAX),
        (lambda path: TokenFile(path).user_of("0"), InputError, TOKENS_BYTES_MAX),
    ],
    ids=["mapping", "policy", "notify", "tokens"],
)
def test_a_file_that_is_too_long_is_refused_by_its_name(
    tmp_path: Path, read: Callable[[Path], Any], refusal: type[Exception], bytes_max: int
) -> None:
    path = tmp_path / "file"
    path.write_text("# " + "x" * bytes_max)

    with pytest.raises(refusal, match=f"file.*exceeds {bytes_max} bytes"):
        read(path)
