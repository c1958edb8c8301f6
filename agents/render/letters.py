"""Letters to customers, printable as HTML and as plain text, by templates that may be replaced.

`letter.txt.jinja` and `letter.html.jinja` are the sheet; `KIND.LANGUAGE.jinja` says subject,
opening and closing. A folder of a deployment's own takes the place of any of them, file by file.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec
from jinja2 import (
    Environment,
    FileSystemLoader,
    StrictUndefined,
    TemplateError,
    select_autoescape,
)
from msgspec import Struct

from tocsin.agents.render.warning_cards import Language
from tocsin.agents.settings.errors import InputError
from tocsin.agents.settings.formats import money

PACKAGED: Final = Path(__file__).parent / "templates"
NUMBER_DIGITS: Final = 8
_WORDS: Final[Mapping[Language, Mapping[str, Any]]] = {
    "en": {
        "columns": ("invoice", "of", "due", "days past due", "amount", "still owed"),
        "total": "Together",
        "deducted": "Money that we hold for you is deducted already",
        "disputed": "What is in dispute is left out and is settled apart.",
        "number": "Letter number",
        "hash": "SHA-256 of its figures:",
        "journal": "Made of the records up to",
    },
    "zh": {
        "columns": ("发票", "开具日期", "到期日", "逾期天数", "金额", "尚欠"),
        "total": "合计",
        "deducted": "我方所持贵方款项已抵扣",
        "disputed": "争议款项未计入，另行处理。",
        "number": "函件编号",
        "hash": "数据SHA-256：",
        "journal": "所依记录截至",
    },
}


class LetterItem(Struct, frozen=True):
    """An invoice of a letter: ISO dates, minor units. Owed is without what is disputed."""

    invoice_id: str
    issued_on: str
    due_on: str
    days_past_due: int
    amount_minor: int
    owed_minor: int
    currency: str


class Letter(Struct, frozen=True):
    """What a letter says: dates are ISO dates, sums minor units by currency.

    `body` is the text of a letter that is written whole, such as the offboarding notice; `channel`
    how it is best sent.
    """

    kind: str
    language: Language
    customer_id: str
    name: str
    as_of: str
    pay_by: str
    channel: str
    items: tuple[LetterItem, ...] = ()
    deducted: dict[str, int] = {}
    has_dispute: bool = False
    body: str = ""
    sender: str = ""
    journal: str = ""
    """The mark of the journal up to which its figures go."""

    @property
    def totals(self) -> dict[str, int]:
        """What is owed together, by currency."""
        found: dict[str, int] = {}
        for item in self.items:
            found[item.currency] = found.get(item.currency, 0) + item.owed_minor
        return found

    @property
    def hash(self) -> str:
        """SHA-256 of all that it says, as JSON: the same figures give the same."""
        return sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def number(self) -> str:
        """Its number: the day, and the beginning of its hash."""
        return f"{self.as_of.replace('-', '')}-{self.hash[:NUMBER_DIGITS]}"


def print_letter(letter: Letter, form: str, folder: Path | None = None) -> str:
    """A letter as `html` or `text`, by the templates of a folder or else the packaged ones.

    Raises InputError for a template that is wrong.
    """
    paths = [PACKAGED] if folder is None else [folder, PACKAGED]
    environment = Environment(
        loader=FileSystemLoader(paths),
        autoescape=select_autoescape(("html.jinja",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sheet = "letter.html.jinja" if form == "html" else "letter.txt.jinja"
    try:
        return environment.get_template(sheet).render(
            letter=letter,
            number=letter.number,
            hash=letter.hash,
            money=money,
            w=_WORDS[letter.language],
        )
    except TemplateError as error:
        raise InputError(
            f"a template of the letter can't be filled: {error}", mend="mend it in --templates"
        ) from error


def letter_json(letter: Letter) -> dict[str, Any]:
    """A letter as programs get it: `sha256` is that of `figures` as compact JSON."""
    return {
        "number": letter.number,
        "sha256": letter.hash,
        "channel": letter.channel,
        "totals_minor": letter.totals,
        "figures": msgspec.to_builtins(letter),
    }
