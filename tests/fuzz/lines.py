"""Lines for the socket of towerd: bytes, JSON, JSON-RPC envelopes, and calls made from the OpenRPC document.

The one rule: a line is its seed and its number, whatever was sent before. What would start a process or wait
is held back by the number, so that any count of lines ends soon and fills no machine.
"""

from __future__ import annotations

import json
import string
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.fuzz.values import Schema, hostile, members, right, word

_WORKER_EVERY = 4000
"""One line in so many may start a worker."""
_NAMELESS_EVERY = 4000
"""One line in so many may add an account under the next free name."""
_SPARE_NAMES = tuple(f"fuzz-{n}" for n in range(8))
_STATES = ("unpaired", "pairing", "connected", "stopped")
_MAX_WHOLE_BATCH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Accounts by what may be done to them, named as users name them.

    Attributes:
        linked: connected; a command that would disturb it is never aimed at it.
        pairing: offers a QR; likewise.
        idle: never paired; anything but a removal and another name.
    """

    linked: tuple[str, ...]
    pairing: tuple[str, ...]
    idle: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Lines:
    """The lines of one run.

    Attributes:
        document: what `rpc.discover` answers.
        targets: accounts that calls may be aimed at.
        seed: what makes this run another than the next.
    """

    document: dict[str, Any]
    targets: Targets
    seed: int
    _methods: list[dict[str, Any]] = field(init=False)
    _components: dict[str, Schema] = field(init=False)

    def __post_init__(self) -> None:
        self._methods = self.document["methods"]
        self._components = self.document["components"]["schemas"]

    def line(self, number: int) -> bytes:
        """Return a line, without its newline."""
        random = Random(f"{self.seed}/{number}")
        kind = random.random()
        if kind < 0.70:
            written = self._call(random, number)
        elif kind < 0.78:
            written = self._misshapen(random, number)
        elif kind < 0.85:
            written = self._batch(random, number)
        elif kind < 0.91:
            written = hostile(random)
        else:
            return self._bytes(random, number)
        return _encoded(written)

    def method(self, index: int) -> str:
        """Return the name of a method."""
        return str(self._methods[index % len(self._methods)]["name"])

    # -- calls --------------------------------------------------------------------------------------------

    def _call(self, random: Random, number: int, *, own_id: str | None = None) -> str:
        method = random.choice(self._methods)
        params = self._params(method, random)
        self._hold_back(method, params, random, number)
        pairs = list(params.items())
        # What takes no parameters can only be given wrong ones; right it is the same each time, and dear.
        if random.random() < (0.05 if method["params"] else 0.85):
            pairs.append((word(random), hostile(random)))
        if pairs and random.random() < 0.03:
            # Twice in the object: the last one counts, which is the right one.
            pairs.insert(0, (random.choice(pairs)[0], hostile(random)))
        request = [("jsonrpc", '"2.0"'), ("method", json.dumps(method["name"]))]
        if pairs or random.random() < 0.5:
            request.append(("params", members(pairs)))
        if random.random() > 0.04:
            request.insert(random.randrange(3), ("id", own_id or self._id(random, number)))
        return members(request)

    def _params(self, method: dict[str, Any], random: Random) -> dict[str, str]:
        """Return parameters: all right, one wrong, or all wrong."""
        mood = random.random()
        known = [one["name"] for one in method["params"]]
        spoilt = {random.choice(known)} if known and 0.45 <= mood < 0.8 else set()
        if mood >= 0.8:
            spoilt = set(known)
        params = {}
        for one in method["params"]:
            name = one["name"]
            if name in spoilt:
                params[name] = hostile(random)
            elif one["required"] or random.random() < 0.6:
                params[name] = self._right(method, name, one["schema"], random)
        return params

    def _right(self, method: dict[str, Any], name: str, schema: Schema, random: Random) -> str:
        if name == "account" and random.random() < 0.8:
            return json.dumps(random.choice(self._aims(method)))
        if name == "name" and random.random() < 0.8:
            return json.dumps(random.choice(_SPARE_NAMES))
        if name == "limit":
            return str(random.choice((1, 2, 20)))
        if name in ("since", "until") and random.random() < 0.5:
            return str(random.randrange(200))
        if name == "states" and random.random() < 0.5:
            return json.dumps(random.sample(_STATES, 2))
        return right(schema, self._components, random)

    def _aims(self, method: dict[str, Any]) -> tuple[str, ...]:
        """Return the accounts that a call of a method may name."""
        targets = self.targets
        match method["name"]:
            case "account.remove" | "account.set":
                return _SPARE_NAMES
            case "account.pair":
                return targets.linked
            case "account.qr":
                return targets.pairing + targets.linked
        if method["x-right"] in ("everybody", "read"):
            return targets.linked + targets.pairing + targets.idle + _SPARE_NAMES
        return targets.idle + _SPARE_NAMES

    def _hold_back(self, method: dict[str, Any], params: dict[str, str], random: Random, number: int) -> None:
        """See to it that a call does not wait, and starts a worker or adds an account now and then only."""
        for one in method["params"]:
            if one["name"].endswith("_seconds") and _is_wait(params.get(one["name"])):
                params[one["name"]] = random.choice(("0.001", "1e-9", "0.01"))
        may_start = number % _WORKER_EVERY == 0
        if method["name"] == "account.add":
            if not may_start and params.get("pair", "true") == "true":
                params["pair"] = "false"
            if number % _NAMELESS_EVERY != 1 and params.get("name", "null") == "null":
                params["name"] = json.dumps(random.choice(_SPARE_NAMES))
        elif may_start and method["name"] in ("account.pair", "account.qr"):
            params["account"] = json.dumps(random.choice(_SPARE_NAMES))

    # -- what is no call ----------------------------------------------------------------------------------

    def _misshapen(self, random: Random, number: int) -> str:
        """Return a request with something wrong about its envelope."""
        request = {
            "jsonrpc": '"2.0"',
            "method": json.dumps(self.method(random.randrange(100))),
            "params": "{}",
            "id": str(number),
        }
        # Only what reads is called without parameters: the only account there is might be meant.
        if random.random() < 0.5:
            request["method"] = '"daemon.version"'
        for part in random.sample(sorted(request), random.randrange(1, 4)):
            if random.random() < 0.3:
                del request[part]
            else:
                request[part] = hostile(random)
        if request.get("method", "").startswith('"account.') and random.random() < 0.9:
            request["jsonrpc"] = random.choice(('"1.0"', "2.0", '"2.0 "', "null", '["2.0"]'))
        pairs = list(request.items())
        if random.random() < 0.2:
            pairs.append((word(random), hostile(random)))
        if random.random() < 0.1:
            pairs.append(("id", hostile(random)))
        return members(pairs)

    def _batch(self, random: Random, number: int) -> str:
        if random.random() < 0.02:
            return "[" + ",".join(["1"] * random.choice((257, 5000))) + "]"
        count = random.randrange(_MAX_WHOLE_BATCH)
        return "[" + ",".join(self._member(random, number, place) for place in range(count)) + "]"

    def _member(self, random: Random, number: int, place: int) -> str:
        if random.random() < 0.1:
            return hostile(random, depth=2)
        return self._call(random, number, own_id=f'"{number}.{place}"')

    def _id(self, random: Random, number: int) -> str:
        if random.random() < 0.85:
            return str(number)
        return random.choice(
            (
                f'"{number}"',
                f"-{number}",
                f"{number}.5",
                f"{number}e3",
                f'"{number} \\u0000 \\u202e"',
                f'"{number}{"x" * 3000}"',
                f"{number}{'0' * 30}",
                "null",
                "true",
                f"[{number}]",
                '{"id": 1}',
            )
        )

    # -- bytes --------------------------------------------------------------------------------------------

    def _bytes(self, random: Random, number: int) -> bytes:
        match random.randrange(4):
            case 0:
                return random.randbytes(random.choice((1, 3, 30, 3000))).replace(b"\n", b"\r")
            case 1:
                soup = random.choice((string.punctuation, string.printable, '{}[]",:0e-+.\\u'))
                return "".join(random.choices(soup, k=random.randrange(60))).replace("\n", " ").encode()
            case 2:
                whole = self._harmless(random, number)
                encoding = random.choice(("utf-16", "utf-32", "utf-8-sig", "utf-7", "cp037"))
                return whole.encode(encoding, "replace").replace(b"\n", b"\r")
            case _:
                return self._damaged(random, number)

    def _damaged(self, random: Random, number: int) -> bytes:
        """Return a call in which bytes were lost, added or changed."""
        line = bytearray(_encoded(self._harmless(random, number)))
        for _ in range(random.randrange(1, 5)):
            place = random.randrange(len(line)) if line else 0
            match random.randrange(4):
                case 0:
                    del line[place : place + random.randrange(1, 9)]
                case 1:
                    line[place:place] = random.randbytes(random.randrange(1, 5))
                case 2:
                    line[place : place + 1] = bytes([random.randrange(256)])
                case _:
                    del line[place:]
        return bytes(line).replace(b"\n", b"\r")

    def _harmless(self, random: Random, number: int) -> str:
        """Return a call that may become any other by the change of a byte: it does not wait."""
        while True:
            call = self._call(random, number)
            if "_seconds" not in call and "account.wait" not in call:
                return call


def _encoded(written: str) -> bytes:
    return written.replace("\n", " ").encode("utf-8", "surrogatepass")


def _is_wait(value: str | None) -> bool:
    """Tell whether a value makes a call wait: left out or a number, but for those out of every bound."""
    if value is None:
        return True
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, int | float)
