"""What the server does with stanzas that no sane client sends: it answers, and goes on."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.whatsapp.authority import NoiseAuthority
from tests.whatsapp.binary_xml import Jid, Node
from tests.whatsapp.connection import Connection
from tests.whatsapp.contents import text
from tests.whatsapp.database import Database
from tests.whatsapp.faults import Faults
from tests.whatsapp.groups import Group
from tests.whatsapp.ledger import Ledger
from tests.whatsapp.pairing import QrClock
from tests.whatsapp.phones import Letter
from tests.whatsapp.server import Server

PHONE, GRACE = "491701234567", "491511111111"
GROUP = Group(id="120363000000000000", subject="Workshop", members={GRACE: "superadmin", PHONE: "member"})
MESSAGE_ID = "3EB0AAAA"


class Deaf:
    """A line that takes everything; nothing is ever read from it."""

    is_closed = False

    def __init__(self) -> None:
        self.sent = 0

    def send(self, data: bytes) -> None:
        self.sent += 1


def logged_in(server: Server) -> Connection:
    """Return a connection of a linked device, which has uploaded no keys."""
    handset = server.ledger.handset(PHONE)
    handset.add_device(noise_key=bytes(32), identity_key=bytes(range(32)), os="", platform="")
    line: Any = Deaf()
    connection = Connection(1, line, server.faults, {"stanzas": 0})
    connection.phone, connection.device, connection.is_active = PHONE, 1, True
    server.sessions[(PHONE, 1)] = connection
    return connection


JIDS = st.sampled_from(
    [
        Jid(PHONE),
        Jid(PHONE, device=1),
        Jid(GRACE),
        Jid(GRACE, device=7),
        GROUP.jid,
        Jid("1", "g.us"),
        Jid("7", "lid"),
        Jid(""),
    ]
)
WORDS = ["", "0", "1", "-1", "9", "retry", "read", "skmsg", "pkmsg", "msg", MESSAGE_ID, "ä"]
VALUES = JIDS | st.sampled_from(WORDS)
NAMES = st.sampled_from(
    ["to", "participant", "jid", "id", "type", "count", "t", "class", "error", "recipient"]
)
TAGS = st.sampled_from(
    [
        "participants",
        "to",
        "enc",
        "retry",
        "registration",
        "keys",
        "key",
        "skey",
        "list",
        "item",
        "value",
        "id",
    ]
)
ATTRS = st.dictionaries(NAMES, VALUES, max_size=4)
BYTES = st.binary(max_size=80)
CONTENT = st.none() | BYTES | BYTES.map(lambda data: b"\x33" + data)
INNER: st.SearchStrategy[Node] = st.recursive(
    st.builds(Node, TAGS, ATTRS, CONTENT),
    lambda inner: st.builds(Node, TAGS, ATTRS, st.lists(inner, max_size=4)),
    max_leaves=12,
)
STANZAS = st.builds(
    Node,
    st.sampled_from(["message", "receipt", "ack", "notification", "call"]),
    st.dictionaries(NAMES, VALUES, max_size=6),
    st.lists(INNER, max_size=4) | CONTENT,
)


def of(tag: str, attrs: dict[str, st.SearchStrategy[Any]], content: Any) -> st.SearchStrategy[Node]:
    """Make nodes that have some of these attributes."""
    return st.builds(Node, st.just(tag), st.fixed_dictionaries({}, optional=attrs), content)


KEYS = of(
    "keys",
    {},
    st.lists(
        st.builds(Node, st.sampled_from(["identity", "key", "skey"]), st.just({}), BYTES | st.lists(INNER)),
        max_size=3,
    ),
)
RETRY = of("retry", {"id": st.just(MESSAGE_ID), "count": VALUES, "t": VALUES}, st.none())
ASKED_AGAIN = of(
    "receipt",
    {"type": st.just("retry"), "id": st.just(MESSAGE_ID), "to": JIDS, "participant": JIDS},
    st.tuples(RETRY, KEYS).map(list) | RETRY.map(lambda node: [node]),
)
ENC = of("enc", {"type": st.sampled_from(["pkmsg", "msg", "skmsg", ""])}, CONTENT)
TO = of("to", {"jid": JIDS}, st.lists(ENC, max_size=2))
WRITTEN = of(
    "message",
    {"to": JIDS, "id": VALUES, "participant": JIDS},
    st.tuples(of("participants", {}, st.lists(TO, max_size=4)), ENC).map(list) | ENC.map(lambda node: [node]),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(STANZAS | ASKED_AGAIN | WRITTEN, max_size=6))
def test_any_stanza_of_a_client_is_taken(stanzas: list[Node]) -> None:
    asyncio.run(taken(stanzas))


async def taken(stanzas: list[Node]) -> None:
    with tempfile.TemporaryDirectory() as place:
        ledger, database = Ledger(Path(place)), Database(Path(place))
        server = Server(ledger, database, NoiseAuthority(ledger.root_private), Faults(), QrClock())
        ledger.groups[GROUP.id] = GROUP
        connection = logged_in(server)
        letter = Letter(message=text("hello"), message_id=MESSAGE_ID)
        server.phones.send(ledger.handset(GRACE), ledger.handset(PHONE), letter)
        for stanza in stanzas:
            server._take(connection, stanza)
        database.close()
