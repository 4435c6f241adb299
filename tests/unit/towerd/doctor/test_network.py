"""Name, line, certificates and clock: each broken by itself, and seen."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerd.doctor.patients import a_patient_now, a_sight, found, levels, only
from tests.unit.towerd.doctor.servers import (
    Authority,
    http_proxy,
    listening,
    refusing,
    says,
    silent,
    whatsapp,
)
from towerd.doctor import network
from towerd.doctor.network import certificates, clock, dns, reach
from towerd.doctor.patient import Patient
from towerd.doctor.route import Target


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "no-roots").mkdir()
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Iterator[int]:
    with listening(whatsapp(authority.context())) as port:
        yield port


def towards(port: int, authority: Authority | None = None, **parts: Any) -> Patient:
    """Return a daemon that takes a port of this machine for WhatsApp, and trusts the authority alone."""
    environment: dict[str, str] = {}
    if authority is not None:
        nothing = str(authority.directory / "no-roots")
        environment = {"SSL_CERT_FILE": str(authority.file), "SSL_CERT_DIR": nothing}
    target = Target(host="localhost", port=port)
    return a_patient_now(target=target, environment=environment | parts.pop("environment", {}), **parts)


def behind(url: str, **parts: Any) -> Patient:
    """Return a daemon behind a proxy."""
    return a_patient_now(environment={"HTTPS_PROXY": url}, **parts)


# --- dns -------------------------------------------------------------------------------------------------


def test_the_name_of_the_server_is_looked_up_and_of_the_proxy_when_there_is_one() -> None:
    assert only(dns, towards(1)).level == "ok"
    finding = only(dns, behind("http://localhost:3128"))
    assert finding.level == "ok"
    assert finding.line.startswith("localhost is ")
    assert finding.line.endswith("; that proxy looks up web.whatsapp.com")


def test_a_name_that_cannot_be_looked_up_is_a_failure_with_the_command_that_tries_it() -> None:
    finding = only(dns, behind("http://proxy.invalid:3128"))
    assert finding.level == "failure"
    assert finding.line.startswith("proxy.invalid cannot be resolved: ")
    assert finding.command == "getent ahosts proxy.invalid"
    patient = a_patient_now(target=Target(host="whatsapp.invalid", port=443))
    assert only(dns, patient).line.startswith("whatsapp.invalid cannot be resolved: ")


# --- reach -----------------------------------------------------------------------------------------------


def test_the_server_is_reached_directly_and_through_the_proxy(authority: Authority, server: int) -> None:
    assert only(reach, towards(server)).line.startswith(f"localhost:{server} answers within 0.")
    with listening(http_proxy(server)) as port:
        line = only(reach, behind(f"http://127.0.0.1:{port}")).line
    assert line.startswith(f"web.whatsapp.com:443 answers through the proxy 127.0.0.1:{port} within ")


def test_a_proxy_that_refuses_is_a_failure_with_the_command_that_shows_it() -> None:
    with refusing() as port:
        finding = only(reach, behind(f"http://ann:secret@127.0.0.1:{port}"))
    assert finding.level == "failure"
    assert finding.line == f"web.whatsapp.com:443 cannot be reached: 127.0.0.1:{port}: connection refused"
    assert (
        finding.command == f"curl --verbose --head --proxy http://127.0.0.1:{port} https://web.whatsapp.com/"
    )
    with listening(says(b"HTTP/1.1 403 Forbidden\r\n\r\n")) as port:
        assert only(reach, behind(f"http://127.0.0.1:{port}")).line.endswith("status 403")


def test_a_proxy_that_is_none_is_a_failure() -> None:
    finding = only(reach, behind("gopher://ann:secret@proxy"))
    assert finding.level == "failure"
    assert "secret" not in finding.line + (finding.command or "")


def test_a_line_that_hangs_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "LINE_SECONDS", 0.3)
    with listening(silent) as port:
        assert only(reach, towards(port)).line.endswith("cannot be reached: does not answer")


def test_accounts_with_a_proxy_of_their_own_are_looked_at_by_it(tmp_path: Path, server: int) -> None:
    good, bad, none = (tmp_path / name for name in ("good", "bad", "none"))
    with listening(http_proxy(server)) as port, refusing() as closed:
        good.write_text(f"http://ann:secret@127.0.0.1:{port}\n")
        bad.write_text(f"http://127.0.0.1:{closed}\n")
        accounts = [
            a_sight(name, record={"proxy_file": str(file)})
            for name, file in (("alpha", good), ("beta", good), ("gamma", bad), ("delta", none))
        ]
        seen = found(reach, behind(f"http://127.0.0.1:{port}", accounts=tuple(accounts)))
    assert [level for level, _ in seen] == ["ok", "ok", "failure", "failure"]
    assert seen[1][1].endswith(" (for alpha, beta)")
    assert seen[2][1].endswith("connection refused (for gamma)")
    assert "none" in seen[3][1]
    assert "secret" not in str(seen)


# --- certificates ----------------------------------------------------------------------------------------


def test_a_certificate_that_the_workers_take_is_well(authority: Authority, server: int) -> None:
    finding = only(certificates, towards(server, authority))
    assert finding.level == "ok"
    assert "is trusted and good until 20" in finding.line


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"starts": -20, "ends": -10}, "certificate has expired"),
        ({"starts": 10, "ends": 20}, "certificate is not yet valid"),
        ({"host": "other.example"}, "Hostname mismatch"),
    ],
)
def test_a_certificate_that_they_do_not_take_is_a_failure_that_says_why(
    authority: Authority, options: dict[str, Any], words: str
) -> None:
    with listening(whatsapp(authority.context(**options))) as port:
        finding = only(certificates, towards(port, authority))
    assert finding.level == "failure"
    assert f"the certificate of localhost is not trusted: {words}" in finding.line
    assert (finding.command or "").startswith(f"openssl s_client -connect localhost:{port} ")


def test_a_certificate_of_a_stranger_is_a_failure(authority: Authority, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    with listening(whatsapp(Authority(stranger).context())) as port:
        finding = only(certificates, towards(port, authority))
    assert finding.level == "failure"
    assert "is not trusted: " in finding.line


def test_a_certificate_that_ends_soon_is_a_warning(authority: Authority) -> None:
    with listening(whatsapp(authority.context(ends=1))) as port:
        assert only(certificates, towards(port, authority)).level == "warning"


def test_roots_that_cannot_be_read_are_a_failure_and_no_line_is_none(authority: Authority) -> None:
    nowhere = towards(1, authority, environment={"SSL_CERT_FILE": "/nowhere/roots.pem"})
    assert only(certificates, nowhere).line == "/nowhere/roots.pem cannot be read: No such file or directory"
    with refusing() as port:
        assert levels(certificates, towards(port, authority)) == ["skipped"]


# --- the clock -------------------------------------------------------------------------------------------


def clock_of(authority: Authority, date: str | None) -> Any:
    with listening(whatsapp(authority.context(), date=date)) as port:
        return only(clock, towards(port))


def test_a_clock_that_agrees_is_well(authority: Authority) -> None:
    assert clock_of(authority, "").level == "ok"


@pytest.mark.parametrize(
    ("off_seconds", "level", "words"),
    [
        (60, "warning", "behind that of localhost"),
        (-60, "warning", "ahead of that of localhost"),
        (-86400, "failure", "ahead of that of localhost"),
        (86400, "failure", "behind that of localhost"),
    ],
)
def test_a_clock_that_is_wrong_is_seen_by_how_much_and_in_which_direction(
    authority: Authority, off_seconds: float, level: str, words: str
) -> None:
    finding = clock_of(authority, formatdate(time.time() + off_seconds, usegmt=True))
    assert finding.level == level
    assert finding.line.endswith(words)
    assert abs(int(finding.line.split()[3]) - abs(off_seconds)) <= 2
    assert (finding.command or "").startswith("timedatectl set-ntp true")


def test_a_wrong_clock_is_seen_although_it_makes_the_certificate_wrong(authority: Authority) -> None:
    context = authority.context(starts=10, ends=20)
    with listening(whatsapp(context, date=formatdate(time.time() + 12 * 86400, usegmt=True))) as port:
        assert only(clock, towards(port, authority)).level == "failure"


@pytest.mark.parametrize("date", [None, "yesterday"])
def test_a_server_that_does_not_say_the_time_says_nothing_of_the_clock(
    authority: Authority, date: str | None
) -> None:
    assert clock_of(authority, date).level == "skipped"


def test_without_a_way_nothing_is_said_of_the_clock() -> None:
    with refusing() as port:
        assert levels(clock, towards(port)) == ["skipped"]
    assert levels(clock, behind("gopher://x")) == ["skipped"]
