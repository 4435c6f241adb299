"""Moving an account over the socket: the audit log, owners, and whose a transfer is."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.callers import ADMIN, CONFIG, OWNER, Caller, let_everybody_in, needs_root
from tests.integration.towerd import Towerd, a_towerd
from tests.unit.sessions.stores import ACCOUNT_ID, make_store

SECRET = bytes(range(32))
KEY = base64.b64encode(SECRET).decode()


@pytest.fixture
def there() -> Iterator[Towerd]:
    """The daemon that accounts go to."""
    with a_towerd() as one:
        one.start()
        yield one


def exported(towerd: Towerd) -> tuple[bytes, dict[str, Any]]:
    """Have a linked account exported; return its file and what the daemon answered."""
    make_store(towerd.state / "sessions", padding_pages=300)
    towerd.start()
    answer = towerd.ask("account.export", account=ACCOUNT_ID, key=KEY)
    content, offset = b"", 0
    while offset is not None:
        piece = towerd.ask("transfer.read", transfer=answer["transfer"], offset=offset)
        content += base64.b64decode(piece["data"])
        offset = piece["next_offset"]
    return content, answer


def handed_in(towerd: Towerd, content: bytes) -> str:
    transfer = str(towerd.ask("transfer.begin")["transfer"])
    for start in range(0, len(content), 300_000):
        data = base64.b64encode(content[start : start + 300_000]).decode()
        towerd.ask("transfer.write", transfer=transfer, offset=start, data=data)
    return transfer


def test_account_goes_to_an_owner_who_is_named_and_both_logs_say_so(towerd: Towerd, there: Towerd) -> None:
    content, answer = exported(towerd)
    assert len(content) == answer["size_bytes"] > 500_000
    assert (answer["account"]["state"], answer["account"]["reason"]) == ("stopped", "exported")
    come = there.ask(
        "account.adopt", transfer=handed_in(there, content), key=KEY, owner="4242", name="beta", start=False
    )
    assert (come["outcome"], come["origin"]["id"]) == ("created", ACCOUNT_ID)
    account = come["account"]
    assert (account["owner_uid"], account["name"], account["state"]) == (4242, "beta", "stopped")
    (row,) = towerd.ask("audit.list", actions=["account.export"])["audits"]
    assert (row["account"]["id"], row["result"], row["uid"]) == (ACCOUNT_ID, "done", os.getuid())
    assert answer["key"] in row["detail"]
    (row,) = there.ask("audit.list", actions=["account.adopt"])["audits"]
    assert (row["account"]["id"], row["result"]) == (account["id"], "done")
    assert ACCOUNT_ID in row["detail"]
    (event,) = there.ask("event.list", types=["account.adopted"])["events"]
    assert event["data"] == {"from": ACCOUNT_ID, "outcome": "created"}
    for one in (towerd, there):
        said = one.log.read_text() + str(one.ask("audit.list")) + str(one.ask("event.list"))
        assert KEY not in said
        assert SECRET.hex() not in said


@pytest.mark.parametrize(
    ("wishes", "slug", "field"),
    [
        ({"owner": "nobody-has-this-name"}, "invalid-field", "owner"),
        ({"owner": "4294967295"}, "invalid-field", "owner"),
        ({"name": "no good name"}, "invalid-field", "name"),
        ({"key": "AAAA"}, "invalid-field", "key"),
        ({"key": base64.b64encode(bytes(32)).decode()}, "export-invalid", None),
    ],
)
def test_wish_that_cannot_be_granted_leaves_nothing(
    towerd: Towerd, there: Towerd, wishes: dict[str, Any], slug: str, field: str | None
) -> None:
    content, _ = exported(towerd)
    transfer = handed_in(there, content)
    answer = there.exchange("account.adopt", **({"transfer": transfer, "key": KEY} | wishes))
    data = answer["error"]["data"]
    assert (data["slug"], [one["field"] for one in data.get("fields", [])]) == (
        slug,
        [field] if field else [],
    )
    assert there.ask("account.list")["accounts"] == []
    assert list((there.state / "sessions").iterdir()) == []


def test_name_that_is_taken_leaves_the_file_to_be_adopted_by_another(towerd: Towerd, there: Towerd) -> None:
    content, answer = exported(towerd)
    there.add(answer["account"]["name"])
    error = there.exchange("account.adopt", transfer=handed_in(there, content), key=KEY)["error"]
    assert error["data"]["slug"] == "account-exists"
    come = there.ask("account.adopt", transfer=handed_in(there, content), key=KEY, name="beta", start=False)
    assert come["outcome"] == "created"
    # Not in the account's own place, nor a second time.
    for name in ("beta", "gamma"):
        error = there.exchange("account.adopt", transfer=handed_in(there, content), key=KEY, name=name)[
            "error"
        ]
        assert error["data"]["slug"] == "duplicate-phone"


def test_transfer_is_over_once_it_was_used(towerd: Towerd, there: Towerd) -> None:
    content, answer = exported(towerd)
    error = towerd.exchange("transfer.read", transfer=answer["transfer"])["error"]
    assert error["data"]["fields"] == [{"field": "transfer", "why": "there is none, or it was given up"}]
    transfer = handed_in(there, content)
    there.ask("account.adopt", transfer=transfer, key=KEY, start=False)
    error = there.exchange("account.adopt", transfer=transfer, key=KEY)["error"]
    assert error["data"]["slug"] == "invalid-field"


@needs_root
def test_transfer_belongs_to_the_admin_who_began_it(towerd: Towerd) -> None:
    towerd.config.write_text(CONFIG)
    make_store(towerd.state / "sessions")
    towerd.start()
    let_everybody_in(towerd)
    admin = Caller(towerd, ADMIN)
    answer = admin.ask("account.export", account=ACCOUNT_ID, key=KEY)
    # Root may do everything, and yet this is not what root began.
    error = towerd.exchange("transfer.read", transfer=answer["transfer"])["error"]
    assert error["data"]["slug"] == "invalid-field"
    assert (
        Caller(towerd, OWNER).refusal("transfer.read", transfer=answer["transfer"])["slug"] == "not-permitted"
    )
    assert admin.ask("transfer.read", transfer=answer["transfer"])["next_offset"] is None
