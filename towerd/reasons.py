"""Why an account is in its state, and what a human can do: one row per reason.

The one rule: a reason is a stable slug; its sentence may improve, the slug never changes. A lasting cause is
not overwritten by a weaker one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sessions.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """What stands behind a slug.

    Attributes:
        action: one sentence that a human can follow; `{name}` is the account's name, `{file}` its drop-in
            file. None: nothing to do.
        strength: a reason of `unpaired` gives way only to one at least as strong.
        is_for_admins: the command that it names is refused to everybody else.
    """

    action: str | None
    strength: int = 0
    is_for_admins: bool = False


LASTING = 3
"""The strength of what a human has to know of however long ago it was."""

HUMAN_CAUSES = frozenset({"locked", "banned"})
"""Causes of a lost link that a human has to settle with WhatsApp before anything is tried."""

_PAIR = "run: towerctl qr {name}"
_WAITS = "nothing to do: towerd tries again by itself"

REASONS: dict[str, Reason] = {
    # unpaired
    "never-paired": Reason(action=_PAIR),
    "pairing-timeout": Reason(action="nobody scanned in time; " + _PAIR, strength=1),
    "pairing-interrupted": Reason(action="the pairing was cut short; " + _PAIR, strength=1),
    "pairing-incomplete": Reason(
        action="the phone scanned but WhatsApp did not keep the link; " + _PAIR, strength=1
    ),
    "duplicate-phone": Reason(action="scan with another phone, or use that account; " + _PAIR, strength=3),
    "wrong-phone": Reason(
        action="scan with the expected phone, or allow another: towerctl pair {name} --new-phone",
        strength=3,
    ),
    "unpaired-by-operator": Reason(
        action="remove the old linked device on the phone; to link again " + _PAIR, strength=3
    ),
    "logged-out-by-operator": Reason(action="to link again " + _PAIR, strength=3),
    "logged-out-by-phone": Reason(action="the phone removed this device; to link again " + _PAIR, strength=3),
    # stopped
    "stopped-by-operator": Reason(action="run: towerctl start {name}"),
    "stopped-by-declaration": Reason(
        action='its drop-in file {file} says desired = "stopped"; change that, or run: towerctl start {name}'
    ),
    "declaration-gone": Reason(
        action="its drop-in file {file} is gone; put it back, or keep the account without it: "
        "towerctl start {name}, or delete it: towerctl remove {name}"
    ),
    "exported": Reason(
        action="its device went elsewhere with an export, so it does not run here; delete what is left: "
        "towerctl remove {name} --yes, or take it back: towerctl adopt FILE"
    ),
    # connecting, reconnecting
    "start-queued": Reason(action="nothing to do: it is about to start"),
    "connection-lost": Reason(action=_WAITS),
    "worker-lost": Reason(action=_WAITS),
    "worker-memory": Reason(action=_WAITS),
    "worker-mismatch": Reason(
        action="tower was upgraded while towerd ran: restart towerd (systemctl restart towerd)"
    ),
    "store-unusable": Reason(
        action="the state directory cannot be used; look at its permissions. towerd tries again by itself"
    ),
    "codes-over": Reason(action=_WAITS),
    "code-refused": Reason(
        action="WhatsApp gave no pairing code for this number; check it, or pair by QR. towerd tries again"
    ),
    "fleet-held": Reason(
        action="many accounts were refused at once, so one tries and the others wait; nothing to do, "
        "or an admin can let them all go on: towerctl release",
        is_for_admins=True,
    ),
    "server-silent": Reason(action=_WAITS),
    "dns": Reason(action="WhatsApp's name cannot be resolved; check DNS. towerd tries again by itself"),
    "proxy": Reason(action="the proxy does not let us through; check it. towerd tries again by itself"),
    "tls": Reason(
        action="the certificate is not trusted; check clock and proxy. towerd tries again by itself"
    ),
    "refused": Reason(action="the connection is refused; check the network. towerd tries again by itself"),
    "timeout": Reason(action="the server does not answer; check the network. towerd tries again by itself"),
    "network": Reason(
        action="there is no route to WhatsApp; check the network. towerd tries again by itself"
    ),
    "not-connected": Reason(action=_WAITS),
    "client-error": Reason(action=_WAITS),
    "client-ended": Reason(action=_WAITS),
    "disk-full": Reason(action="make room on the disk; towerd tries again by itself"),
    "banned-until": Reason(action="WhatsApp banned this number for a while; towerd tries again when it ends"),
    # failed
    "client-outdated": Reason(
        action="WhatsApp refuses this version: upgrade tower (neonize) and restart towerd; "
        "until then one account tries again now and then"
    ),
    "locked": Reason(
        action="WhatsApp locked this number; open WhatsApp on the phone and follow it, then "
        "run: towerctl pair {name}",
        strength=3,
    ),
    "banned": Reason(
        action="WhatsApp banned this number; open WhatsApp on the phone and ask for a review, then "
        "run: towerctl pair {name}",
        strength=3,
    ),
    "stream-replaced": Reason(
        action="another program uses the same device; stop it, then run: towerctl start {name}"
    ),
    "passkey-required": Reason(
        action="WhatsApp asks this phone for a passkey, which towerd cannot give; link another phone, "
        "or try later: towerctl pair {name}"
    ),
    "store-damaged": Reason(
        action="the stored device cannot be used; run: towerctl unpair {name} --yes && towerctl qr {name}"
    ),
    "store-mismatch": Reason(
        action="the store holds another device than the registry knows; "
        "run: towerctl unpair {name} --yes && towerctl qr {name}"
    ),
    "wrong-key": Reason(
        action="the store is sealed with another key; give towerd that key again and restart it, "
        "or forget the device: towerctl unpair {name} --yes"
    ),
    "store-locked": Reason(action="another program holds the store; end it, then run: towerctl start {name}"),
    "proxy-unreadable": Reason(
        action="the file with the URL of its proxy cannot be used, so it does not connect; correct it (the "
        "journal of towerd says how), then run: towerctl start {name}. towerd tries again every few minutes"
    ),
    "worker-crash-loop": Reason(
        action="its worker dies again and again; see the journal of towerd; tried again every few minutes"
    ),
}

_CONNECT_FAILURE = Reason(
    action="WhatsApp refused the login with a code unknown to this version; upgrade tower, "
    "then run: towerctl start {name}"
)


def action_for(reason: str | None, name: str, *, file: str | None = None) -> str | None:
    """Return what a human can do about a reason, None when there is nothing.

    Args:
        reason: the slug.
        name: how the account is called.
        file: the drop-in file that declares it, or did.
    """
    if reason is None:
        return None
    row = REASONS.get(reason)
    if row is None and reason.startswith("connect-failure-"):
        row = _CONNECT_FAILURE
    return row.action.format(name=name, file=file) if row is not None and row.action else None


def needs_admin(reason: str | None) -> bool:
    """Tell whether only an admin can do what helps."""
    return reason in REASONS and REASONS[reason].is_for_admins


def action_while_pairing(reason: str | None, name: str, *, phone: str | None) -> str | None:
    """Return what a human can do while a pairing runs: scan, unless something keeps us from WhatsApp."""
    row = REASONS.get(reason or "")
    if row is not None and row.strength == 0:
        return action_for(reason, name)
    if phone is not None:
        return f"type the pairing code on the phone; to see it run: towerctl pair {name} --phone {phone}"
    return f"have the phone scan the QR: towerctl qr {name}"


def lasting(old: str | None, new: str) -> str:
    """Return the reason that stays: the new one unless the old one is stronger."""
    if old in REASONS and new in REASONS and REASONS[old].strength > REASONS[new].strength:
        return old
    return new


def reason_while_pairing(old: str | None) -> str | None:
    """Return the lasting cause that stays visible while a pairing tries to end it, else None."""
    return old if old in REASONS and REASONS[old].strength >= 2 else None


HUMAN_STATES = frozenset({State.FAILED, State.STOPPED, State.UNPAIRED})
"""States that end only when a human acts."""
