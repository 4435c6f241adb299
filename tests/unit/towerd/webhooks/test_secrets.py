"""Where secrets of webhooks come from, what is refused, and that nothing is told of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from towerd.webhooks.secrets import SecretError, read_secret, standard_key

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give credentials to a service, as systemd does."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(directory))
    return directory


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    for secret in (SECRET, SECRET[::-1]):
        file.write_text(f"{secret}\n")
        assert read_secret(str(file)) == secret


def test_a_credential_goes_by_its_name(credentials: Path) -> None:
    # systemd guards these by other means than the mode.
    (credentials / "crm").write_text(SECRET)
    (credentials / "crm").chmod(0o440)
    assert read_secret("crm") == SECRET


@pytest.mark.parametrize("name", ["../crm", ".", "..", "sub/crm"])
def test_a_name_leads_nowhere_else(credentials: Path, name: str) -> None:
    (credentials.parent / "crm").write_text(SECRET)
    with pytest.raises(SecretError, match="the name of a credential"):
        read_secret(name)


def test_without_credentials_a_name_says_how_to_give_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SecretError, match=re.escape("LoadCredential=crm:/path")):
        read_secret("crm")


@pytest.mark.parametrize(
    "content",
    [
        SECRET[:-1],
        f"{SECRET}\n{SECRET}",
        f"{SECRET} x",
        f"{SECRET}\x00",
        "\u2b50" * 32,
        "x" * 4097,
        "whsec_" + "c2hvcnQ=" * 3,
        "whsec_" + "!" * 40,
    ],
)
def test_what_is_no_secret_is_refused_without_a_word_of_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.touch(mode=0o600)
    file.write_text(content)
    with pytest.raises(SecretError) as refused:
        read_secret(str(file))
    assert content[-12:] not in str(refused.value)
    assert SECRET[:12] not in str(refused.value)


def test_the_key_of_standard_webhooks() -> None:
    assert standard_key(SECRET) == SECRET.encode()
    assert standard_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == bytes.fromhex(
        "31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0"
    )
