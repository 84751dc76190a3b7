"""Sealing secrets for the way through the database and the message bus.

The API seals, the executor opens; what lies between holds nothing that can be read. All processes need the same
keys. A key is any text; the first seals, all open, so that a key can be replaced without losing what is under way.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from mistral_lite.jsontext import JsonObject, dump, load

# Texts that people choose are easier to guess than keys should be; a fixed salt, as processes share no place for one.
_SALT = b"mistral-lite: secrets of executions"


class Sealer:
    """Seals and opens JSON objects. Without keys it can do neither."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(_derived(key)) for key in keys]) if keys else None

    def __repr__(self) -> str:
        return f"Sealer(has_keys={self.has_keys})"

    @property
    def has_keys(self) -> bool:
        """Tell whether anything can be sealed."""
        return self._fernet is not None

    def seal(self, secrets: JsonObject) -> str:
        """Return ``secrets`` as a text that only holders of a key can read. There must be a key."""
        if self._fernet is None:
            raise ValueError("there is no key to seal with")
        return self._fernet.encrypt(zlib.compress(dump(secrets).encode())).decode()

    def open(self, sealed: str) -> JsonObject | None:
        """Return what was sealed, or None if it was sealed with a key that is not at hand."""
        if self._fernet is None:
            return None
        try:
            secrets: JsonObject = load(zlib.decompress(self._fernet.decrypt(sealed.encode())).decode())
        except InvalidToken:
            return None
        return secrets


def _derived(key: str) -> bytes:
    return urlsafe_b64encode(hashlib.scrypt(key.encode(), salt=_SALT, n=2**14, r=8, p=1, dklen=32))
