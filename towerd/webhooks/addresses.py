"""Addresses: which ones a name has, and which of them a request may go to.

The one rule: what was judged is what is connected to; a name is resolved once for each attempt.
"""

from __future__ import annotations

import ipaddress
import socket

from towerd.thread import on_own_thread

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MOST_ADDRESSES = 3
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressError(Exception):
    """There is no address that a request may go to; the message says why."""


async def resolve(host: str, port: int, *, allow_private: bool, loopback_only: bool) -> list[str]:
    """Return the addresses of a host that a request may go to, the best first, at most three.

    Args:
        host: a name or an address.
        port: where the request goes.
        allow_private: addresses that are not public will do.
        loopback_only: none but those of this machine will do.

    Raises:
        AddressError: there are none, or none of them may be used.
    """
    try:
        # A resolver that hangs costs one thread, which ends when the resolver gives up.
        found = await on_own_thread(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), name="resolver"
        )
    except (OSError, UnicodeError) as error:
        msg = f"{host} cannot be resolved: {getattr(error, 'strerror', None) or error}"
        raise AddressError(msg) from None
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    usable = [one for one in addresses if _may_be_used(one, allow_private, loopback_only)]
    if not usable:
        why = "is not of this machine" if loopback_only and allow_private else "is not public"
        msg = f"the address of {host} {why}: {', '.join(addresses[:_MOST_ADDRESSES])}"
        raise AddressError(msg)
    return usable[:_MOST_ADDRESSES]


def _may_be_used(text: str, allow_private: bool, loopback_only: bool) -> bool:  # noqa: FBT001
    address = innermost(ipaddress.ip_address(text.partition("%")[0]))
    if loopback_only and not address.is_loopback:
        return False
    return allow_private or is_public(address)


def innermost(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def is_public(address: Address) -> bool:
    """Tell whether an address is somebody's on the Internet."""
    return address.is_global and not address.is_multicast and not address.is_reserved
