"""A real browser for tests: Debian's Chromium, driven by Playwright, with a new profile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

NAMES = ("chromium", "google-chrome")
LACKING = "no Chromium is here: `apt-get install chromium` as root, or Chrome, brings one"
# A browser of a test asks nobody but the test's own pages; a container's root has no sandbox.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def browser_page(profile: Path) -> Iterator[tuple[Page, list[str]]]:
    """A page, and what the browser complains of in it: its console's lines, errors of scripts.

    Skips the test where there is no browser, which the run's last lines tell.
    """
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(LACKING)
    said: list[str] = []
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=path, headless=True, args=list(ARGUMENTS)
        )
        page = context.pages[0]
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        yield page, said
        context.close()
