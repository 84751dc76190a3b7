"""Which hosts an action may call over HTTP, decided on the address that is really connected to.

A check of the name alone can be fooled: a name may resolve to something else a moment later, and a redirect
may lead anywhere. So the name is resolved once, each address is judged, and the connection is made to exactly
those addresses; redirects pass the same gate because it sits in the connection. Owns no HTTP semantics.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from mistral_lite.errors import ActionError, InputError

Address = IPv4Address | IPv6Address

DEFAULT_DENIED_CIDRS = ("127.0.0.0/8", "::1/128", "169.254.0.0/16", "fe80::/10")

_THIS_NETWORK = IPv4Network("0.0.0.0/8")
# Networks of IPv6 addresses that end in the IPv4 address which is really meant: compatible, translated, NAT64
# of everybody and of one's own.
_ENDING_IN_IPV4 = (
    *(IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96")),
    *(IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48")),
)
# The middle of an ISATAP address, of a global and of a local one.
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Bounds of outgoing HTTP.

    ``allowed_hosts``: if not empty, the only host names that may be called. ``denied_cidrs``: networks that no
    called host may resolve into. ``default_timeout_s``: seconds to connect, and between two arrivals of data,
    where the action gives none; 0 means unbounded. ``max_response_bytes``: largest decoded body; 0 means unlimited.
    """

    allowed_hosts: tuple[str, ...] = ()
    denied_cidrs: tuple[str, ...] = DEFAULT_DENIED_CIDRS
    default_timeout_s: float = 60.0
    max_response_bytes: int = 5 * 1024 * 1024


class EgressPolicy:
    """Judges URLs and addresses by the settings. Raises ``InputError`` if a network of the settings is none."""

    def __init__(self, settings: HttpSettings) -> None:
        self._allowed_hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._denied = tuple(_parse_network(text) for text in settings.denied_cidrs)

    def check_url(self, url: str) -> None:
        """Raise ``ActionError`` unless the scheme is HTTP(S) and the host may be named at all."""
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            raise ActionError("The parameter 'url' is not a valid URL.") from None
        if parts.scheme not in ("http", "https"):
            raise ActionError(f"URL scheme '{parts.scheme}' is not allowed (only http and https are).")
        if not host:
            raise ActionError("URL does not contain a host.")
        if self._allowed_hosts and host not in self._allowed_hosts:
            raise ActionError(f"Host '{host}' is not in [action_std_http] allowed_hosts.")

    def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of ``host``, all of them judged.

        Raises ``ActionError`` if one is denied, ``socket.gaierror`` if the name does not resolve.
        """
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if self.is_denied(address):
                raise ActionError(f"URL host '{host}' resolves to a blocked address ({address}).")
        return addresses

    def check_resolved(self, url: str) -> None:
        """Judge the addresses of a URL that a proxy will connect to; a name unknown here is left to the proxy."""
        parts = urlsplit(url)
        try:
            self.resolve(parts.hostname or "", parts.port or 0)
        except socket.gaierror:
            return

    def is_denied(self, address: str) -> bool:
        """Tell whether ``address``, or an IPv4 address that it stands for, lies in a denied network."""
        forms = _equivalent_addresses(ip_address(address.partition("%")[0]))
        return any(
            form.version == network.version and form in network for form in forms for network in self._denied
        )


def _parse_network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise InputError(f"[action_std_http] denied_cidrs: '{text}' is not a network.") from error


def _equivalent_addresses(address: Address) -> Sequence[Address]:
    """Return ``address`` and every other form under which the machine would reach the same peer."""
    forms: list[Address] = [address]
    if isinstance(address, IPv6Address):
        last = IPv4Address(int(address) & 0xFFFF_FFFF)
        is_isatap = int(address) >> 32 & 0xFFFF_FFFF in _ISATAP
        if is_isatap or any(address in network for network in _ENDING_IN_IPV4):
            forms.append(last)
        forms += filter(None, (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())))
    # The kernel connects "any address" to this machine: it is loopback in disguise.
    if any(isinstance(form, IPv4Address) and form in _THIS_NETWORK for form in forms):
        forms += [IPv4Address("127.0.0.1"), IPv6Address("::1")]
    return forms
