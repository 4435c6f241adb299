"""URLs of webhooks: which ones may be configured.

The one rule: what a look at the URL shows to be wrong is refused with the configuration; what its name
resolves to is judged at each connection.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit


def wrong_url(url: str, *, allow_private: bool) -> str | None:
    """Return what is wrong with a URL, None when nothing."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no URL"
    if not url.isascii() or not url.isprintable() or " " in url:
        return "must be written in ASCII, without spaces"
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        return "must be an URL such as https://example.org/tower"
    if parts.username is not None or parts.fragment:
        return "must hold no user, password or fragment; who sends is shown by the signature"
    return _wrong_host(parts, allow_private=allow_private)


def _wrong_host(parts: SplitResult, *, allow_private: bool) -> str | None:
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        is_loopback = host == "localhost"
        is_public = not is_loopback
    else:
        is_loopback, is_public = address.is_loopback, address.is_global
    if parts.scheme == "http" and not is_loopback:
        return "must begin with https://; http:// is for localhost alone"
    if not is_public and not allow_private:
        return "is of this machine or of a private network: that needs allow_private = true"
    return None
