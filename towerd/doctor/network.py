"""Checks of the way to WhatsApp: name, line, certificates, and the clock by the server's.

The one rule: each says what was seen from here, now, by the way that the workers go; what a worker of an
account with a proxy of its own sees is looked at by its own way.
"""

from __future__ import annotations

import shlex
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from towerd.doctor.findings import Finding, failure, ok, skipped, warning
from towerd.doctor.patient import Patient
from towerd.doctor.route import (
    Proxy,
    RouteError,
    environment_proxy,
    proxy_of,
    resolve,
    roots,
    secured,
    server_time,
    unverified,
)
from towerd.proxy import ProxyUnreadableError, read_now

LINE_SECONDS = 8.0
"""How long one line may take from the name to the end of the handshake."""
_CLOCK_WARNING_SECONDS = 10.0
_CLOCK_FAILURE_SECONDS = 300.0
_EXPIRY_WARNING_DAYS = 3


def dns(patient: Patient) -> Iterator[Finding]:
    """Look up the name that is looked up here: the proxy's, or WhatsApp's."""
    for whose, proxy in _ways(patient):
        if isinstance(proxy, RouteError):
            continue
        host, port = (proxy.host, proxy.port) if proxy else (patient.target.host, patient.target.port)
        try:
            addresses = resolve(host, port)
        except RouteError as error:
            yield failure(f"{error}{whose}", f"getent ahosts {shlex.quote(host)}")
        else:
            by_proxy = f"; that proxy looks up {patient.target.host}" if proxy else ""
            found = f"{host} is {addresses[0][1]}" if host != addresses[0][1] else f"{host} needs none"
            yield ok(f"{found}{by_proxy}{whose}")


def reach(patient: Patient) -> Iterator[Finding]:
    """Go all the way to the end of the TLS handshake, whoever answers."""
    for whose, proxy in _ways(patient):
        if isinstance(proxy, RouteError):
            yield failure(f"{proxy}{whose}", "systemctl show --property=Environment towerd")
            continue
        began = time.perf_counter()
        try:
            with secured(patient.target, proxy, unverified(), deadline_seconds=LINE_SECONDS):
                took = time.perf_counter() - began
        except RouteError as error:
            yield failure(f"{patient.target} cannot be reached: {error}{whose}", _by_hand(patient, proxy))
        else:
            through = f" through the proxy {proxy}" if proxy else ""
            yield ok(f"{patient.target} answers{through} within {took:.2f} s{whose}")


def certificates(patient: Patient) -> Iterator[Finding]:
    """Look whether the certificate that is shown is one that the workers take."""
    try:
        trusted = roots(patient.environment)
    except RouteError as error:
        yield failure(str(error), "systemctl show --property=Environment towerd")
        return
    for whose, proxy in _ways(patient):
        if not isinstance(proxy, RouteError):
            yield _certificate(patient, proxy, trusted, whose)


def _certificate(patient: Patient, proxy: Proxy | None, trusted: ssl.SSLContext, whose: str) -> Finding:
    host = patient.target.host
    try:
        with secured(patient.target, proxy, trusted, deadline_seconds=LINE_SECONDS) as line:
            shown = line.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        words = f"the certificate of {host} is not trusted: {error.verify_message}{whose}"
        return failure(words, _show_certificate(patient, proxy))
    except RouteError as error:
        return skipped(f"no certificate was seen: {error}{whose}")
    ends_at = ssl.cert_time_to_seconds(str(shown["notAfter"]))
    ends = datetime.fromtimestamp(ends_at, UTC).date()
    if ends_at - patient.now < _EXPIRY_WARNING_DAYS * 86400:
        words = f"the certificate of {host} ends on {ends}{whose}"
        return warning(words, _show_certificate(patient, proxy))
    return ok(f"the certificate of {host} is trusted and good until {ends}{whose}")


def clock(patient: Patient) -> Iterator[Finding]:
    """Compare this machine's clock with the time that WhatsApp's server says.

    The certificate is not verified for it: a wrong clock makes every certificate wrong.
    """
    proxy = next(_ways(patient))[1]
    if isinstance(proxy, RouteError):
        yield skipped(f"the server was not asked for its time: {proxy}")
        return
    try:
        with secured(patient.target, proxy, unverified(), deadline_seconds=LINE_SECONDS) as line:
            asked = time.perf_counter()
            told = server_time(line, patient.target)
            took = time.perf_counter() - asked
    except RouteError as error:
        yield skipped(f"the server was not asked for its time: {error}")
        return
    try:
        theirs = parsedate_to_datetime(told or "").timestamp()
    except ValueError:
        yield skipped(f"{patient.target.host} does not say what time it is")
        return
    # A second's fraction is not told; on the way back half the time has passed.
    yield _clock_finding(patient.clock.now() - took / 2 - (theirs + 0.5), patient.target.host)


def _clock_finding(ahead_seconds: float, host: str) -> Finding:
    off = abs(ahead_seconds)
    if off <= _CLOCK_WARNING_SECONDS:
        return ok(f"the clock agrees with that of {host} to within {max(1.0, off):.0f} s")
    words = f"the clock is {off:.0f} s {'ahead of' if ahead_seconds > 0 else 'behind'} that of {host}"
    command = "timedatectl set-ntp true && timedatectl status"
    return failure(words, command) if off > _CLOCK_FAILURE_SECONDS else warning(words, command)


def _ways(patient: Patient) -> Iterator[tuple[str, Proxy | RouteError | None]]:
    """Yield each way to WhatsApp once, with who goes it: all accounts, or those with a proxy of their own."""
    try:
        yield "", environment_proxy(patient.environment, patient.target)
    except RouteError as error:
        yield "", error
    own: dict[str, list[str]] = {}
    for account in patient.accounts:
        if account.record.proxy_file is not None:
            own.setdefault(account.record.proxy_file, []).append(account.address)
    for file, accounts in own.items():
        yield f" (for {', '.join(accounts)})", _own_proxy(file)


def _own_proxy(file: str) -> Proxy | RouteError:
    try:
        return proxy_of(read_now(Path(file)))
    except ProxyUnreadableError as error:
        return RouteError("proxy", str(error))
    except RouteError as error:
        return error


def _by_hand(patient: Patient, proxy: Proxy | None) -> str:
    through = f" --proxy {proxy.scheme}://{proxy}" if proxy else ""
    return f"curl --verbose --head{through} https://{patient.target.host}/"


def _show_certificate(patient: Patient, proxy: Proxy | None) -> str:
    through = f" -proxy {proxy}" if proxy and proxy.scheme == "http" else ""
    return (
        f"openssl s_client -connect {patient.target}{through} -servername {patient.target.host} </dev/null "
        "| openssl x509 -noout -issuer -subject -dates"
    )
