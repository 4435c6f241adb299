"""Moving in: a list of accounts from elsewhere, all of it or nothing, as often as one likes."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from tests.integration.towerd import Towerd, environment

LIST = """
[[account]]
name = "zebra"
owner = 4711
display_name = "Zebra"
expected_phone = "+491701234567"
limits = { daily = 5 }

[[account]]
name = "shop"
desired = "stopped"

[[account]]
name = "apple"
owner = 4711
"""


def towerctl(towerd: Towerd, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "towerctl", "--socket", str(towerd.socket), *arguments],
        env=environment(towerd.directory),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def listed(towerd: Towerd) -> list[dict[str, Any]]:
    return list(towerd.ask("account.list")["accounts"])


def outcomes(out: str) -> list[list[str]]:
    return [[line.split()[0], line.split()[2]] for line in out.splitlines()[1:]]


def test_names_owners_and_order_are_imported_and_a_second_time_changes_nothing(towerd: Towerd) -> None:
    towerd.start()
    (towerd.directory / "list.toml").write_text(LIST)
    file = str(towerd.directory / "list.toml")
    dry = towerctl(towerd, "import", "--dry-run", file)
    assert (dry.returncode, listed(towerd)) == (0, [])
    assert [row[1] for row in outcomes(dry.stdout)] == ["created"] * 3
    first = towerctl(towerd, "import", file)
    assert (first.returncode, outcomes(first.stdout)) == (
        0,
        [["zebra", "created"], ["shop", "created"], ["apple", "created"]],
    )
    accounts = listed(towerd)
    assert [(one["name"], one["owner_uid"]) for one in accounts] == [
        ("zebra", 4711),
        ("shop", os.getuid()),
        ("apple", 4711),
    ]
    zebra, shop, _ = accounts
    assert (zebra["display_name"], zebra["expected_phone"], zebra["limits"]["daily"]) == (
        "Zebra",
        "+491701234567",
        5,
    )
    assert (zebra["state"], zebra["declaration"]) == ("unpaired", None)
    assert (shop["state"], shop["reason"]) == ("stopped", "stopped-by-operator")
    again = towerctl(towerd, "import", "-", stdin=LIST)
    assert (again.returncode, [row[1] for row in outcomes(again.stdout)]) == (0, ["existing"] * 3)
    assert listed(towerd) == accounts
    towerd.restart()
    assert [one["name"] for one in listed(towerd)] == ["zebra", "shop", "apple"]
    rows = towerd.ask("audit.list", actions=["account.add", "account.import"])["audits"]
    assert [row["action"] for row in rows].count("account.add") == 3


def test_one_mistake_anywhere_adds_nothing_and_all_are_told(towerd: Towerd) -> None:
    towerd.start()
    bad = (
        LIST
        + '[[account]]\nname = "shop"\n[[account]]\nowner = "nobody-has-this-name"\nnme = 1\n[[account]]\n'
    )
    refused = towerctl(towerd, "import", "-", stdin=bad)
    assert (refused.returncode, refused.stdout, listed(towerd)) == (2, "", [])
    lines = refused.stderr.splitlines()
    assert any("account[3]: shop of" in line and "is there twice" in line for line in lines)
    assert any("account[4].nme: unknown key" in line for line in lines)
    assert any("account[5].name: is missing" in line for line in lines)
    assert "Traceback" not in refused.stderr


def test_what_is_there_stays_as_it_is_and_the_rest_is_added(towerd: Towerd) -> None:
    towerd.start()
    shop = towerd.add("shop")
    done = towerctl(towerd, "import", "-", "--json", stdin=LIST)
    assert done.returncode == 0
    assert [one["name"] for one in listed(towerd)] == ["shop", "zebra", "apple"]
    (kept,) = [one for one in listed(towerd) if one["name"] == "shop"]
    assert (kept["id"], kept["desired"]) == (shop["id"], "running")


def test_a_thousand_accounts_are_added_in_one_step(towerd: Towerd) -> None:
    towerd.start()
    many = "".join(f'[[account]]\nname = "n{number:04}"\n' for number in range(1000))
    assert towerctl(towerd, "import", "-", stdin=many).returncode == 0
    assert [one["name"] for one in listed(towerd)] == [f"n{number:04}" for number in range(1000)]
