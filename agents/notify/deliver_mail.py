"""Deliveries by mail: SMTP with TLS. The Message-ID is made of the idempotency key."""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Final

from tocsin.agents.notify.config import Mail
from tocsin.agents.notify.deliver import DELIVERED, Message, Outcome, Result, secret_of
from tocsin.agents.notify.deliver_http import tls_context
from tocsin.agents.settings.formats import clean

PERMANENT: Final = 500  # SMTP's codes from here on are refusals
DETAIL_CHARS_MAX: Final = 200
POLICY: Final = SMTP.clone(cte_type="7bit")  # there are servers that take nothing else


class MailSender:
    """One mail server and its readers. A connection for each mail: they are few."""

    def __init__(self, mail: Mail, timeout_s: float, what: str) -> None:
        self._mail = mail
        self._timeout_s = timeout_s
        self._password = secret_of(mail.secret_file, mail.secret_env, what)
        self._tls = tls_context(mail.ca_file, what)

    async def send(self, message: Message, now: int) -> Result:
        """Send one mail to all readers; each step is bounded, and so is the whole."""
        mail = self._written(message, now)
        attempt = _Attempt(self._mail, self._password.reveal(), self._tls, self._timeout_s)
        work = asyncio.create_task(asyncio.to_thread(attempt.run, mail))
        done, _ = await asyncio.wait({work}, timeout=self._timeout_s)
        if done:
            return work.result()
        attempt.cut()  # its thread then ends with an error
        await work
        return Result(Outcome.FAILED, f"no answer within {self._timeout_s:g} s")

    async def close(self) -> None:
        """Nothing: no connection outlives its mail."""

    def _written(self, message: Message, now: int) -> EmailMessage:
        mail = EmailMessage(policy=POLICY)
        mail["Subject"] = clean(message.title)
        mail["From"] = self._mail.sender
        mail["To"] = ", ".join(self._mail.to)
        mail["Date"] = formatdate(now / 1000)
        mail["Message-ID"] = f"<{message.id}@{self._mail.sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail


class _Attempt:
    """One conversation with the server, in a thread of its own."""

    def __init__(self, mail: Mail, password: str, tls: ssl.SSLContext, timeout_s: float) -> None:
        self._mail, self._password, self._tls = mail, password, tls
        self._timeout_s = timeout_s
        self._server: smtplib.SMTP | None = None

    def run(self, mail: EmailMessage) -> Result:
        try:
            refused = self._connected().send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            return _judged(min(code for code, _ in error.recipients.values()), "no reader taken")
        except smtplib.SMTPResponseException as error:
            return _judged(error.smtp_code, _text(error.smtp_error))
        except smtplib.SMTPException as error:
            return Result(Outcome.FAILED, type(error).__name__)
        except ssl.SSLCertVerificationError:
            detail = "its certificate is not trusted: set ca_file if it is your own"
            return Result(Outcome.FAILED, detail)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            return Result(Outcome.FAILED, f"cannot be spoken to: {reason}")
        finally:
            self._part()
        if refused:
            # Those who were taken have it; the same mail again would reach them twice.
            return Result(Outcome.DELIVERED, f"{len(refused)} of the readers refused")
        return DELIVERED

    def cut(self) -> None:
        """End the conversation from outside."""
        if self._server is not None and self._server.sock is not None:
            with suppress(OSError):
                self._server.sock.shutdown(socket.SHUT_RDWR)

    def _part(self) -> None:
        """Say good-bye; whatever is answered, the mail was taken or not before."""
        if self._server is not None:
            with suppress(OSError, smtplib.SMTPException):
                self._server.quit()
            self._server.close()

    def _connected(self) -> smtplib.SMTP:
        mail = self._mail
        if mail.tls == "tls":
            self._server = smtplib.SMTP_SSL(timeout=self._timeout_s, context=self._tls)
        else:
            self._server = smtplib.SMTP(timeout=self._timeout_s)
        server = self._server
        # By hand, so that `cut` finds the server while it is being connected to.
        server._host = mail.host  # type: ignore[attr-defined]  # STARTTLS checks this name
        code, words = server.connect(mail.host, mail.port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)
        if mail.tls == "starttls":
            server.starttls(context=self._tls)
        if mail.user:
            server.login(mail.user, self._password)
        return server


def _judged(code: int, words: str) -> Result:
    outcome = Outcome.REFUSED if code >= PERMANENT else Outcome.FAILED
    return Result(outcome, f"SMTP {code} {words}".rstrip())


def _text(words: bytes | str) -> str:
    text = words.decode(errors="replace") if isinstance(words, bytes) else words
    return clean(" ".join(text.split()))[:DETAIL_CHARS_MAX]
