"""Groups: who is in them, how a client is told of them, and what it is told when they change.

One rule: a group's members are numbers that have a handset; who has left hears nothing more of it.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.whatsapp.binary_xml import Attributes, Jid, Node
from tests.whatsapp.handset import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.whatsapp.handset import Handset
    from tests.whatsapp.server import Server

Addressing = Literal["lid", "pn"]


@dataclass(kw_only=True, slots=True)
class Group:
    """One group; members are phone numbers with their role, the first one is who made it."""

    id: str = field(default_factory=lambda: f"120363{secrets.randbelow(10**12):012}")
    subject: str
    members: dict[str, str]
    addressing: Addressing = "lid"
    created_at: int = field(default_factory=lambda: int(time.time()))
    version: int = 1

    @property
    def jid(self) -> Jid:
        return Jid(self.id, "g.us")

    @property
    def is_lid(self) -> bool:
        return self.addressing == "lid"

    def as_json(self) -> dict[str, Any]:
        return {
            "group": str(self.jid),
            "subject": self.subject,
            "members": self.members,
            "addressing": self.addressing,
        }


def address(handset: Handset, device: int = 0, *, is_lid: bool) -> Jid:
    """Return a device's address in one of its two forms."""
    return handset.lid_jid(device) if is_lid else handset.jid(device)


class Groups:
    """All groups of `server`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._groups = server.ledger.groups

    def find(self, jid: Jid | str) -> Group | None:
        """Return the group of an address, with or without its server part."""
        return self._groups.get(str(jid).partition("@")[0])

    def known(self, jid: str) -> Group:
        """Return the group of an address.

        Raises:
            Refused: there is none.
        """
        group = self.find(jid)
        if group is None:
            raise Refused("unknown-group", f"there is no group {jid}")
        return group

    def of(self, phone: str) -> list[Group]:
        return [group for group in self._groups.values() if phone in group.members]

    def all(self) -> list[Group]:
        return list(self._groups.values())

    def create(self, subject: str, members: list[Handset], addressing: Addressing) -> Group:
        """Make a group and tell the members' devices; the first member makes it."""
        if not members:
            raise Refused("malformed", "a group has at least one member: who makes it")
        roles = {member.phone: "member" for member in members} | {members[0].phone: "superadmin"}
        group = Group(subject=subject, members=roles, addressing=addressing)
        self._groups[group.id] = group
        self._server.ledger.save()
        created = Node("create", {"type": "new", "key": secrets.token_hex(8)}, [self.node(group)])
        self._tell(group, list(group.members), members[0], created)
        return group

    def add(self, group: Group, handset: Handset) -> None:
        """Take a number into a group; it is told of the whole group, the others of it."""
        if handset.phone in group.members:
            raise Refused("member", f"{handset.phone} is a member of {group.jid}")
        before = list(group.members)
        group.members[handset.phone] = "member"
        actor = self._actor(group)
        self._tell(group, before, actor, self._change(group, "add", handset))
        added = Node("create", {"reason": "invite"}, [self.node(group)])
        self._tell(group, [handset.phone], actor, added)

    def remove(self, group: Group, handset: Handset) -> None:
        """Take a number out of a group; those who stay take other sender keys."""
        self._member(group, handset)
        before = list(group.members)
        del group.members[handset.phone]
        self._tell(group, before, self._actor(group) or handset, self._change(group, "remove", handset))
        for phone in group.members:
            self._server.phones.of(self._server.ledger.handset(phone)).renew_key(str(group.jid))

    def rename(self, group: Group, subject: str) -> None:
        """Give a group another subject."""
        group.subject = subject
        self._server.ledger.save()
        actor = self._actor(group)
        attrs: Attributes = {"subject": subject, "s_t": str(int(time.time()))}
        self._tell(group, list(group.members), actor, Node("subject", attrs))

    def node(self, group: Group) -> Node:
        """Return a group as clients read it."""
        maker = next(iter(group.members), None)
        attrs: Attributes = {
            "id": group.id,
            "subject": group.subject,
            "creation": str(group.created_at),
            "s_t": str(group.created_at),
            "size": str(len(group.members)),
            "p_v_id": str(group.version),
            "addressing_mode": group.addressing,
        }
        if maker is not None:
            creator = self._server.ledger.handset(maker)
            attrs["creator"] = attrs["s_o"] = address(creator, is_lid=group.is_lid)
        return Node("group", attrs, [self._participant(group, phone) for phone in group.members])

    def _participant(self, group: Group, phone: str, *, has_role: bool = True) -> Node:
        handset = self._server.ledger.handset(phone)
        attrs: Attributes = {"jid": address(handset, is_lid=group.is_lid)}
        attrs["phone_number" if group.is_lid else "lid"] = address(handset, is_lid=not group.is_lid)
        role = group.members.get(phone, "member")
        if has_role and role != "member":
            attrs["type"] = role
        return Node("participant", attrs)

    def _member(self, group: Group, handset: Handset) -> None:
        if handset.phone not in group.members:
            raise Refused("no-member", f"{handset.phone} is no member of {group.jid}")

    def _actor(self, group: Group) -> Handset | None:
        maker = next(iter(group.members), None)
        return self._server.ledger.handset(maker) if maker else None

    def _change(self, group: Group, tag: str, handset: Handset) -> Node:
        attrs: Attributes = {"prev_v_id": str(group.version), "v_id": str(group.version + 1)}
        group.version += 1
        self._server.ledger.save()
        return Node(tag, attrs, [self._participant(group, handset.phone, has_role=False)])

    def _tell(self, group: Group, phones: Iterable[str], actor: Handset | None, change: Node) -> None:
        attrs: Attributes = {
            "from": group.jid,
            "type": "w:gp2",
            "id": secrets.token_hex(8),
            "t": str(int(time.time())),
            "addressing_mode": group.addressing,
        }
        if actor is not None:
            attrs["participant"] = address(actor, is_lid=group.is_lid)
            attrs["notify"] = actor.push_name
            if group.is_lid:
                attrs["participant_pn"] = actor.jid()
        for phone in phones:
            for device in self._server.ledger.handset(phone).devices:
                self._server.mail.post(phone, device, Node("notification", attrs, [change]))
