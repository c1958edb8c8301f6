"""The keys of personal data, as `tocsin doctor` looks at them: there, right, and for few eyes."""

from __future__ import annotations

import os
import stat

from tocsin.agents.doctor.findings import Finding, caution, failed, fine, wrong
from tocsin.agents.privacy.encryption import master_of
from tocsin.agents.privacy.keys import Keyring
from tocsin.agents.settings.errors import TocsinError
from tocsin.agents.settings.secret_files import readable_by_others
from tocsin.agents.settings.settings import Settings

ABOUT = "keys"


def look_at_keys(settings: Settings) -> list[Finding]:
    """Whether who has the master key can use the keys. Worker, audit and replay have none."""
    if not settings.privacy:
        return [fine(ABOUT, "none are needed: personal data are not encrypted")]
    if not (settings.kms_url or settings.master_key_file):
        return [fine(ABOUT, "none here: who decides and copies needs none")]
    try:
        Keyring(settings.keys_path, master_of(settings))  # opens one of them
    except TocsinError as error:
        return [failed(ABOUT, error)]
    return [_opened(settings), *_eyes(settings)]


def _opened(settings: Settings) -> Finding:
    folder = settings.keys_path
    if os.access(folder, os.W_OK):
        return fine(ABOUT, f"the master key opens those in {folder}")
    return caution(
        ABOUT,
        f"this user may read the keys in {folder}, and make and destroy none",
        "let it write there, unless it only reads: who enters events and `tocsin erase` must",
    )


def _eyes(settings: Settings) -> list[Finding]:
    """What every user of this machine could take."""
    folder = settings.keys_path
    found = [
        wrong(ABOUT, told.rpartition("; ")[0], told.rpartition("; ")[2])
        for told in readable_by_others(settings)
        if told.startswith(("master_key_file:", "kms_token_file:"))
    ]
    if folder.stat().st_mode & stat.S_IRWXO:
        what = f"every user of this machine may enter {folder}"
        found.append(wrong(ABOUT, what, f"chmod o-rwx {folder}"))
    return found
