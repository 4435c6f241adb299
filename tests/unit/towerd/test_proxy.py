"""The URL of a proxy: read from its file, or refused without a word of what is in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.privileges import as_nobody
from tests.unit.towerd.waiting import run
from towerd.proxy import ProxyUnreadableError, read_proxy

GOOD = [
    "http://proxy.example:3128",
    "https://proxy.example",
    "socks5://10.0.0.1:1080/",
    "http://tower:s3cret@proxy.example:3128",
    "http://tower:p%40ss%2Fword@[2001:db8::1]:3128",
    "socks5://u$er:p;a,s=s!@proxy.example:1080",
]
BAD = [
    "",
    "proxy.example:3128",
    "ftp://s3cret@proxy.example",
    "socks5h://s3cret@proxy.example:1080",
    "http://",
    "http://tower:s3cret@",
    "http://tower:s3cret%zz@proxy.example:3128",
    "http://tower:s3/cret@proxy.example:3128",
    "http://tower:s3cret@proxy.example:0",
    "http://tower:s3cret@proxy.example:65536",
    "http://tower:s3cret@proxy.example:port",
    "http://tower:s3cret@proxy.example:3128/path",
    "http://tower:s3cret@proxy.example:3128\nhttp://second.example",
    "http://tower:s3crét@proxy.example:3128",
    "http://tower:s3cret@" + "x" * 5000,
]


def refusal(file: Path) -> str:
    with pytest.raises(ProxyUnreadableError) as caught:
        run(read_proxy(str(file)))
    return str(caught.value)


def test_an_account_without_a_file_has_no_proxy() -> None:
    assert run(read_proxy(None)) is None


@pytest.mark.parametrize("url", GOOD)
@pytest.mark.parametrize("frame", ["{}", "{}\n", "  {}\r\n\n"])
def test_the_url_is_what_the_file_holds(tmp_path: Path, url: str, frame: str) -> None:
    (tmp_path / "proxy").write_text(frame.format(url))
    assert run(read_proxy(str(tmp_path / "proxy"))) == url


@pytest.mark.parametrize("content", BAD)
def test_what_is_no_url_is_refused_without_repeating_it(tmp_path: Path, content: str) -> None:
    file = tmp_path / "proxy"
    file.write_text(content, encoding="utf-8")
    words = refusal(file)
    assert words.startswith(str(file))
    assert "must be one line with a URL" in words
    assert "s3c" not in words
    assert "tower:" not in words


def test_a_file_that_is_not_there_or_no_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none").endswith("No such file or directory")
    assert refusal(tmp_path).endswith("is not a file")
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").endswith("is not a file")


def test_a_file_that_may_not_be_read_is_named(short_directory: Path) -> None:
    file = short_directory / "proxy"
    file.write_text(GOOD[0])
    with as_nobody(short_directory):
        file.chmod(0o000)
        assert refusal(file).endswith("Permission denied")
