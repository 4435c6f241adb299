"""The part of the test-side API that concerns messages and groups; `Simulator` has it.

One rule: each method is one verb of the control socket, and returns what that answers.
"""

from __future__ import annotations

from typing import Any


class Correspondence:
    """The verbs; `phone` is always the account whose linked devices are under test."""

    def contact(self, phone: str, name: str) -> dict[str, Any]:
        """Make another person's phone, or give it another push name: phone, jid, lid, push_name."""
        return dict(self._call("contact", phone=phone, name=name))

    # What others write

    def deliver(
        self,
        phone: str,
        sender: str,
        text: str | None = None,
        *,
        kind: str = "text",
        caption: str | None = None,
        quoted: str | None = None,
        message: dict[str, Any] | None = None,
        message_id: str | None = None,
        addressing: str = "lid",
        one_address: bool = False,
        at: float | None = None,
    ) -> dict[str, Any]:
        """Have somebody write to the phone's linked devices; returns `id` and the `devices` written to.

        `quoted` is the id of a message of the phone that is answered; `message` any message in protobuf's
        JSON; `addressing` is `lid` or `pn`; with `one_address` the stanza does not name the other address.
        """
        return dict(
            self._call(
                "deliver",
                phone=phone,
                sender=sender,
                text=text,
                kind=kind,
                caption=caption,
                quoted=quoted,
                message=message,
                message_id=message_id,
                addressing=addressing,
                one_address=one_address,
                at=at,
            )
        )

    def echo(
        self,
        phone: str,
        to: str,
        text: str,
        *,
        message_id: str | None = None,
        addressing: str = "lid",
        at: float | None = None,
    ) -> dict[str, Any]:
        """Have the phone itself write to somebody; its linked devices get a copy `from me`."""
        return dict(
            self._call(
                "echo", phone=phone, to=to, text=text, message_id=message_id, addressing=addressing, at=at
            )
        )

    def react(
        self,
        phone: str,
        sender: str,
        target: str,
        emoji: str,
        *,
        group: str | None = None,
        addressing: str = "lid",
    ) -> dict[str, Any]:
        """Have somebody react to the message `target`; an empty emoji takes it back."""
        given = {"sender": sender, "target": target, "emoji": emoji, "group": group}
        return dict(self._call("react", phone=phone, addressing=addressing, **given))

    def read(self, phone: str, reader: str, ids: list[str], *, played: bool = False) -> dict[str, Any]:
        """Have somebody see what the phone's devices sent: they get read receipts."""
        return dict(self._call("read", phone=phone, reader=reader, ids=ids, played=played))

    def forget_sessions(self, phone: str, contact: str) -> dict[str, Any]:
        """Have a contact lose its sessions with the phone's devices: it asks again for what comes next."""
        return dict(self._call("forget-sessions", phone=phone, contact=contact))

    # What came of it

    def outbox(self, phone: str) -> list[dict[str, Any]]:
        """Return what others decrypted of what the phone's devices sent, oldest first, one entry per reader.

        id, device, to, chat, kind, text, at, copies (how often it came), and as far as there are any caption,
        quoted, reacts_to.
        """
        return list(self._call("outbox", phone=phone))

    def unread(self, phone: str) -> list[dict[str, Any]]:
        """Return what others could not read of what the phone's devices sent, with the `reason`.

        `old`: its key was used before; nobody asks for it again. Else it is asked for, and leaves this
        list for the outbox when it was read at last.
        """
        return list(self._call("unread", phone=phone))

    def acknowledged(self, phone: str) -> list[dict[str, Any]]:
        """Return the messages to the phone's devices that these acknowledged, and how: id, device, how, …."""
        return list(self._call("acknowledged", phone=phone))

    def backlog(self, phone: str) -> list[dict[str, Any]]:
        """Return the messages to the phone's devices that these did not acknowledge."""
        return list(self._call("backlog", phone=phone))

    # What goes wrong with messages

    def withhold(self, on: bool = True) -> dict[str, Any]:
        """Pass messages on but keep their acks back; `False` sends those that were kept back."""
        return dict(self._call("withhold", on=on))

    def lose(self, on: bool = True) -> dict[str, Any]:
        """Lose the messages that clients send: neither passed on nor acknowledged."""
        return dict(self._call("lose", on=on))

    def nack(self, code: int, *, times: int = 1) -> dict[str, Any]:
        """Answer the next messages with an error instead of passing them on."""
        return dict(self._call("nack", code=code, times=times))

    def delay_acks(self, milliseconds: float) -> dict[str, Any]:
        """Acknowledge messages late; 0 ends it."""
        return dict(self._call("delay-acks", milliseconds=milliseconds))

    def receipts(self, on: bool = True) -> dict[str, Any]:
        """Have contacts tell, or not, that messages reached them."""
        return dict(self._call("receipts", on=on))

    def hold(self, phone: str, on: bool = True, *, order: str = "posted") -> dict[str, Any]:
        """Send the phone's devices nothing; `False` sends it all: as `posted`, `reversed` or `shuffled`."""
        return dict(self._call("hold", phone=phone, on=on, order=order))

    def redeliver(self, phone: str, message_id: str) -> dict[str, Any]:
        """Send a message once more as it was."""
        return dict(self._call("redeliver", phone=phone, message_id=message_id))

    # Groups

    def groups(self) -> list[dict[str, Any]]:
        """Return all groups: group (its JID), subject, members with their roles, addressing."""
        return list(self._call("groups"))

    def group_create(self, subject: str, members: list[str], *, addressing: str = "lid") -> dict[str, Any]:
        """Make a group of phone numbers, the first of which makes it; returns what `groups` lists."""
        return dict(self._call("group-create", subject=subject, members=members, addressing=addressing))

    def group_add(self, group: str, phone: str) -> dict[str, Any]:
        """Take a number into a group."""
        return dict(self._call("group-add", group=group, phone=phone))

    def group_remove(self, group: str, phone: str) -> dict[str, Any]:
        """Take a number out of a group."""
        return dict(self._call("group-remove", group=group, phone=phone))

    def group_rename(self, group: str, subject: str) -> dict[str, Any]:
        """Give a group another subject."""
        return dict(self._call("group-rename", group=group, subject=subject))

    def group_send(self, group: str, sender: str, text: str | None = None, **more: Any) -> dict[str, Any]:
        """Have a member write to a group; `more` as for `deliver`, with the `author` of what is quoted."""
        return dict(self._call("group-send", group=group, sender=sender, text=text, **more))

    def _call(self, verb: str, **arguments: Any) -> Any:
        raise NotImplementedError
