"""Values for a parameter, as JSON text: right by its schema, or hostile whatever its schema.

The one rule: everything is drawn from the `Random` that is handed in, so that a case is its seed. Text, not
objects: half of what is hostile (NaN, a key twice, half a surrogate, 2^64) exists in text only.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

Schema = dict[str, Any]

_WORDS = (
    "",
    " ",
    "\t\r",
    "\u00a0",
    "\x00",
    "a\x00b",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe",
    "\u2066\u200f\u200e",
    "\ufeff",
    "a\u0301" * 60,
    "👩‍👩‍👧‍👦🗼",
    "ﷺ" * 50,
    "²",
    "٣",
    "１２３",
    "⅕",
    "0",
    "-1",
    "007",
    "1e3",
    "0x10",
    "9" * 19,
    "9" * 200,
    "nan",
    "null",
    "..",
    "../../../../etc/passwd",
    "/etc/passwd",
    "/dev/zero",
    "file:///etc/shadow",
    "C:\\\\con",
    "~root",
    "$(id)",
    "`id`",
    "${HOME}",
    "%s%n%x",
    "{0.__class__}",
    "'; DROP TABLE account; --",
    '" OR 1=1',
    "<script>alert(1)</script>",
    "-rf",
    "--help",
    "@",
    "/",
    "a/b/c",
    "/x",
    "root/",
    "a-aaaaaaaaaa",
    "a-AAAAAAAAAA",
    "+491709999999",
    "00491709999999",
    "+1 (555) 010-9999",
    "491709999999@s.whatsapp.net",
    "491709999999:7@s.whatsapp.net",
    "1@lid",
    "status@broadcast",
    "2026-01-31",
    "2026-01-31T12:00:00",
    "2026-01-31T12:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "2026-02-30T00:00:00Z",
    "2026-W05-6",
    "A" * 199,
    "A" * 200,
    "A" * 201,
    "ä" * 200,
    "\U0001f5fc" * 200,
)
_NUMBERS = (
    "0",
    "-0",
    "1",
    "-1",
    "0.5",
    "1.0",
    "1e3",
    "1E400",
    "-1e999",
    "5e-324",
    "1.7976931348623157e308",
    "2147483648",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1" + "0" * 40,
    "-" + "7" * 400,
    "3" * 5000,
    "0." + "1" * 400,
)
_CONSTANTS = ("null", "true", "false")
# Not JSON, and yet what some parser takes.
_IMPOSTORS = (
    "NaN",
    "Infinity",
    "-Infinity",
    "undefined",
    "None",
    "True",
    "01",
    "+1",
    ".5",
    "1.",
    "0x1f",
    "'a'",
    "/* */ 1",
    '"\\ud800"',
    '"\\udc00\\ud800"',
    '"\\u12"',
    '"\\x41"',
    '"\t"',
    '"',
    "[1,]",
    "{,}",
    '{"a"}',
    "]",
    "",
)


def word(random: Random) -> str:
    """Return a string that some program somewhere stumbled over, or a random one."""
    if random.random() < 0.8:
        return random.choice(_WORDS)
    return "".join(
        chr(random.choice((32, 127, 255, 0x2FFF, 0x10FFFF)) - random.randrange(32)) for _ in range(8)
    )


def text(value: str, random: Random) -> str:
    """Write a string as JSON, escaped or as it is."""
    return json.dumps(value, ensure_ascii=random.random() < 0.5 or not value.isprintable())


def members(pairs: list[tuple[str, str]]) -> str:
    """Write an object; a key may stand in it twice."""
    return "{" + ",".join(f"{json.dumps(key)}:{value}" for key, value in pairs) + "}"


def hostile(random: Random, depth: int = 0) -> str:
    """Return any value at all; one in twelve is no JSON."""
    match random.randrange(12 if depth < 3 else 8):
        case 0:
            return random.choice(_IMPOSTORS)
        case 1:
            return random.choice(_CONSTANTS)
        case 2 | 3:
            return random.choice(_NUMBERS)
        case 4 | 5 | 6:
            return text(word(random), random)
        case 7:
            return _enormous(random)
        case 8 | 9:
            return "[" + ",".join(hostile(random, depth + 1) for _ in range(random.randrange(4))) + "]"
        case _:
            return members([(word(random), hostile(random, depth + 1)) for _ in range(random.randrange(4))])


def _enormous(random: Random) -> str:
    if random.random() < 0.8:
        return text(random.choice("A\u0000\u202eä") * 300, random)
    match random.randrange(5):
        case 0:
            return '"' + "A" * 20_000 + '"'
        case 1:
            return "[" * 60 + "]" * 60
        case 2:
            return "[" * 20_000 + "]" * 20_000
        case 3:
            return '{"a":' * 5000 + "1" + "}" * 5000
        case _:
            return "[" + ",".join(["0"] * 5000) + "]"


def right(schema: Schema, components: dict[str, Schema], random: Random) -> str:
    """Return a value that the schema allows; of those, rather the ones at its edges.

    Raises:
        LookupError: the schema says something that is not known here.
    """
    if "$ref" in schema:
        return right(components[schema["$ref"].rpartition("/")[2]], components, random)
    if "anyOf" in schema:
        return right(random.choice(schema["anyOf"]), components, random)
    if "enum" in schema:
        return json.dumps(random.choice(schema["enum"]))
    return _plain(schema, components, random)


def _plain(schema: Schema, components: dict[str, Schema], random: Random) -> str:
    match schema.get("type"):
        case "null":
            return "null"
        case "boolean":
            return random.choice(("true", "false"))
        case "integer":
            return str(_whole(schema, random))
        case "number":
            return repr(random.choice((_whole(schema, random), random.random() * schema.get("maximum", 1e9))))
        case "string":
            fitting = word(random)[: schema.get("maxLength", 10_000)]
            return text(fitting.ljust(schema.get("minLength", 0), "x"), random)
        case "array":
            least = schema.get("minItems", 0)
            count = random.randrange(least, least + 4)
            return "[" + ",".join(right(schema["items"], components, random) for _ in range(count)) + "]"
        case "object":
            return _object(schema, components, random)
        case unknown:
            raise LookupError(unknown)


def _whole(schema: Schema, random: Random) -> int:
    least = int(schema.get("minimum", -(2**63)))
    most = int(schema.get("maximum", 2**64))
    return random.choice(
        (least, least + 1, most, random.randint(least, most), random.randint(least, least + 9))
    )


def _object(schema: Schema, components: dict[str, Schema], random: Random) -> str:
    properties: dict[str, Schema] = schema.get("properties", {})
    required = schema.get("required", ())
    pairs = [
        (name, right(inner, components, random))
        for name, inner in properties.items()
        if name in required or random.random() < 0.5
    ]
    free = schema.get("additionalProperties")
    if isinstance(free, dict):
        pairs += [(word(random), right(free, components, random)) for _ in range(random.randrange(3))]
    return members(pairs)
