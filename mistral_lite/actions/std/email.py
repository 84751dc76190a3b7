"""``std.email``: sends one message over SMTP. Owns the message; keeps no connection."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage

from mistral_lib.actions.context import ActionContext

from mistral_lite.actions.context import StandardAction
from mistral_lite.errors import ActionError

_TIMEOUT_S = 60.0


class EmailAction(StandardAction):
    """Sends an e-mail message.

    ``smtp_server`` is ``host`` or ``host:port``. With ``smtp_password`` the connection is encrypted by STARTTLS
    and ``from_addr`` logs in. With ``html_body`` the message carries both forms of the text. ``bcc_addrs`` get
    the message and appear in no header.
    """

    def __init__(
        self,
        from_addr: str,
        to_addrs: list[str],
        smtp_server: str,
        reply_to: list[str] | None = None,
        cc_addrs: list[str] | None = None,
        bcc_addrs: list[str] | None = None,
        smtp_password: str | None = None,
        subject: str | None = None,
        body: str | None = None,
        html_body: str | None = None,
    ) -> None:
        super().__init__()
        self.from_addr = from_addr
        self.to_addrs = to_addrs
        self.smtp_server = smtp_server
        self.reply_to = reply_to or []
        self.cc_addrs = cc_addrs or []
        self.bcc_addrs = bcc_addrs or []
        self.smtp_password = smtp_password
        self.subject = subject or "<No subject>"
        self.body = body or "<No body>"
        self.html_body = html_body

    def run(self, context: ActionContext) -> None:
        """Send the message. Raises ``ActionError`` if the server does not take it."""
        recipients = [*self.to_addrs, *self.cc_addrs, *self.bcc_addrs]
        try:
            message = self._message()
            with smtplib.SMTP(self.smtp_server, timeout=_TIMEOUT_S) as server:
                if self.smtp_password is not None:
                    server.ehlo()
                    server.starttls()
                    server.ehlo()
                    server.login(self.from_addr, self.smtp_password)
                server.send_message(message, from_addr=self.from_addr, to_addrs=recipients)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise ActionError(f"Failed to send an email message: {error}") from error

    def _message(self) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = self.subject
        message["From"] = self.from_addr
        message["To"] = ", ".join(self.to_addrs)
        if self.reply_to:
            message["Reply-To"] = ", ".join(self.reply_to)
        if self.cc_addrs:
            message["Cc"] = ", ".join(self.cc_addrs)
        message.set_content(self.body)
        if self.html_body is not None:
            message.add_alternative(self.html_body, subtype="html")
        return message
