"""What outlives the simulator's process: root key, port, handsets with their devices, groups.

One rule: the file is replaced as a whole after every change, so a killed simulator has lost nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from tests.whatsapp.authority import write_private
from tests.whatsapp.groups import Group
from tests.whatsapp.handset import Handset, Refused, phone_number

if TYPE_CHECKING:
    from pathlib import Path

    from tests.whatsapp.binary_xml import Jid


@dataclass(kw_only=True, slots=True)
class _State:
    root_private: bytes = field(default_factory=lambda: os.urandom(32))
    port: int | None = None
    handsets: dict[str, Handset] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)


class Ledger:
    """The state in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "state.json"
        self._state = (
            msgspec.json.decode(self._file.read_bytes(), type=_State) if self._file.exists() else _State()
        )
        self.save()

    @property
    def root_private(self) -> bytes:
        return self._state.root_private

    @property
    def port(self) -> int | None:
        return self._state.port

    @property
    def handsets(self) -> dict[str, Handset]:
        return self._state.handsets

    @property
    def groups(self) -> dict[str, Group]:
        """Return the groups by their id."""
        return self._state.groups

    def keep_port(self, port: int) -> None:
        self._state.port = port
        self.save()

    def handset(self, phone: str) -> Handset:
        """Return the handset of a phone number, a new one for a number never seen."""
        number = phone_number(phone)
        return self._state.handsets.setdefault(number, Handset(phone=number))

    def known_handset(self, phone: str) -> Handset:
        """Return the handset of a phone number that was used before.

        Raises:
            Refused: nobody has this number.
        """
        number = phone_number(phone)
        if number not in self._state.handsets:
            raise Refused("unknown-phone", f"no handset has the number {number}")
        return self._state.handsets[number]

    def owner(self, jid: Jid) -> Handset | None:
        """Return whose address this is, a phone number or a LID; None when it is nobody's."""
        if jid.server == "lid":
            return next((each for each in self.handsets.values() if each.lid == jid.user), None)
        return self.handsets.get(jid.user)

    def forget(self, phone: str) -> None:
        self._state.handsets.pop(phone, None)
        self.save()

    def save(self) -> None:
        write_private(self._file, msgspec.json.encode(self._state))
