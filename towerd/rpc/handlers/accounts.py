"""The methods `account.*`: decode, ask the supervisor or a keeper, shape the reply."""

from __future__ import annotations

import asyncio
import contextlib

from sessions.states import ATTEMPT_STATES, LINKED_STATES, State
from towerd.clock import Clock, rfc3339, wall_time
from towerd.protocol import methods as m
from towerd.protocol import types as wire
from towerd.protocol.errors import ACCOUNT, TowerError
from towerd.protocol.health import AskHealth, HealthResult
from towerd.qr import render
from towerd.rpc.call import Call
from towerd.supervision.health import status_of
from towerd.supervision.keeper import Keeper
from towerd.supervision.names import check_display_name, check_name, check_phone, digits_of
from towerd.supervision.pairing import CODES_PER_ROUND, QrOffer
from towerd.supervision.supervisor import invalid
from towerd.supervision.view import account_to_wire

_HISTORY = 20
_NEEDS_LINK = frozenset({State.AUTHENTICATED, State.CONNECTING, State.CONNECTED, State.RECONNECTING})
_NEEDS_HUMAN = frozenset({State.FAILED, State.STOPPED, State.UNPAIRED})


def _view(call: Call, keeper: Keeper, *, with_worker: bool = False) -> wire.Account:
    address = call.address(keeper.account.record)
    return account_to_wire(keeper, call.services.clock, address=address, with_worker=with_worker)


async def list_accounts(call: Call, params: m.List) -> m.AccountsResult:
    """List accounts in order of creation."""
    wanted = set(params.state) if params.state is not None else set(State)
    keepers = [one for one in call.visible() if one.account.state in wanted]
    return m.AccountsResult(accounts=[_view(call, one) for one in keepers])


async def health(call: Call, params: AskHealth) -> HealthResult:
    """Say how well accounts are, and why."""
    chosen = params.accounts
    keepers = call.visible() if chosen is None else [call.find(selector) for selector in chosen]
    views = [_view(call, one) for one in keepers]
    return HealthResult(status=status_of(one.health for one in views), accounts=views)


async def get(call: Call, params: m.OneAccount) -> m.AccountHistoryResult:
    """Show one account with its last transitions."""
    keeper = call.find(params.account)
    history = await call.services.ledger.read(
        lambda registry: registry.history(keeper.account.record.id, _HISTORY)
    )
    return m.AccountHistoryResult(
        account=_view(call, keeper, with_worker=True),
        history=[
            wire.Transition(time=rfc3339(one.time), old=one.old, new=one.new, reason=one.reason)
            for one in history
        ],
    )


async def add(call: Call, params: m.Add) -> m.AddResult:
    """Add an account and begin pairing."""
    call.caller.require_adding()
    mistakes = check_name(params.name) if params.name is not None else []
    mistakes += check_display_name(params.display_name)
    mistakes += check_phone("phone", params.phone) + check_phone("expect_phone", params.expect_phone)
    if mistakes:
        raise invalid(mistakes)
    is_admin = call.caller.may("admin", None)
    keeper, created = await call.services.supervisor.add(
        owner_uid=call.peer.uid,
        at_most=None if is_admin else call.services.settings.current.limits.accounts_per_owner,
        name=params.name,
        display_name=params.display_name,
        expected_phone=params.expect_phone,
        if_absent=params.if_absent,
    )
    call.about.append(keeper.account.record)
    if not created:
        call.notes.append("it was there already")
    if not created or not params.pair:
        return m.AddResult(account=_view(call, keeper), created=created)
    offer = await keeper.pair(phone=digits_of(params.phone) or None)
    if offer is None:
        return m.AddResult(account=_view(call, keeper), created=created)
    expires_at = wall_time(offer.expires_at, call.services.clock)
    return m.AddResult(
        account=_view(call, keeper), created=created, code=offer.code, code_expires_at=expires_at
    )


def _require_kept_by_hand(call: Call, keeper: Keeper, what: str, *, hint: str) -> None:
    """Refuse what the account's drop-in file decides.

    Raises:
        TowerError: `wrong-state`, naming the file.
    """
    file = call.services.drop_ins.path_of(keeper)
    if file is not None:
        name = call.address(keeper.account.record)
        raise TowerError("wrong-state", f"{name} is declared by {file}, which decides {what}", hint=hint)


async def set_names(call: Call, params: m.Set) -> m.AccountResult:
    """Change an account's names."""
    keeper = call.find(params.account)
    if params.name is not None or params.display_name is not None:
        _require_kept_by_hand(call, keeper, "its names", hint="change them in the file")
    if params.name is not None:
        call.notes.append(f"name {keeper.account.name} to {params.name}")
    if params.display_name is not None:
        call.notes.append(f"display name to {params.display_name}")
    if params.primary:
        call.notes.append("made primary")
    await call.services.supervisor.rename(keeper, params.name, params.display_name)
    if params.primary:
        keeper.make_primary()
    return m.AccountResult(account=_view(call, keeper))


async def pair(call: Call, params: m.Pair) -> m.PairResult:
    """Begin a new pairing attempt."""
    keeper = call.find(params.account)
    mistakes = check_phone("phone", params.phone)
    if mistakes:
        raise invalid(mistakes)
    declaration = call.services.drop_ins.declaration_of(keeper)
    if params.new_phone and declaration is not None and declaration.expected_phone is not None:
        _require_kept_by_hand(
            call, keeper, "which phone is expected", hint="change expected_phone in the file"
        )
    offer = await keeper.pair(phone=digits_of(params.phone) or None, new_phone=params.new_phone)
    if offer is None:
        return m.PairResult(account=_view(call, keeper))
    expires_at = wall_time(offer.expires_at, call.services.clock)
    return m.PairResult(account=_view(call, keeper), code=offer.code, code_expires_at=expires_at)


async def start(call: Call, params: m.OneAccount) -> m.AccountResult:
    """Let the account run."""
    keeper = call.find(params.account)
    await keeper.start()
    return m.AccountResult(account=_view(call, keeper))


async def stop(call: Call, params: m.OneAccount) -> m.AccountResult:
    """Take the account offline."""
    keeper = call.find(params.account)
    await keeper.stop()
    return m.AccountResult(account=_view(call, keeper))


async def restart(call: Call, params: m.OneAccount) -> m.AccountResult:
    """Stop and start the session."""
    keeper = call.find(params.account)
    await keeper.restart()
    return m.AccountResult(account=_view(call, keeper))


async def unpair(call: Call, params: m.NamedAccount) -> m.AccountResult:
    """Forget the linked device here, without telling WhatsApp."""
    keeper = call.find(params.account)
    await keeper.unpair()
    return m.AccountResult(account=_view(call, keeper))


async def logout(call: Call, params: m.NamedAccount) -> m.LogoutResult:
    """Log out at WhatsApp and keep the account."""
    keeper = call.find(params.account)
    report = await keeper.logout()
    return m.LogoutResult(account=_view(call, keeper), logout=report.outcome)


async def remove(call: Call, params: m.Remove) -> m.RemoveResult:
    """Log out and delete the account."""
    try:
        keeper = call.find(params.account)
    except TowerError as error:
        if error.slug == "account-not-found" and params.if_present:
            return m.RemoveResult(removed=False, logout="not-linked")
        raise
    _require_kept_by_hand(
        call, keeper, "that it is there", hint="delete the file, which stops the account; then remove it"
    )
    report = await call.services.supervisor.remove(keeper, require_logout=params.require_logout)
    return m.RemoveResult(removed=True, logout=report.outcome, detail=report.detail)


async def wait(call: Call, params: m.Wait) -> m.WaitResult:
    """Wait until the account is in a state, or cannot come there without a human."""
    keeper = call.find(params.account)
    account, wanted = keeper.account, set(params.states)

    def hopeless() -> bool:
        return (
            wanted <= _NEEDS_LINK
            and account.state in _NEEDS_HUMAN
            and not keeper.is_about_to_pair
            and keeper.is_settled
        )

    seen: list[State] = []

    def over() -> bool:
        if account.state in wanted or hopeless():
            seen.append(account.state)
            return True
        return False

    ended = await account.until(over, params.timeout_seconds or None)
    call.insist(keeper)
    # What a script was told must still be so after a power cut; a full disk is no reason to keep it waiting.
    with contextlib.suppress(TowerError):
        await call.services.ledger.settle()
    view = _view(call, keeper)
    if not ended:
        return m.WaitResult(account=view, outcome="timeout")
    return m.WaitResult(account=view, outcome="reached" if seen[-1] in wanted else "needs-human")


async def qr(call: Call, params: m.GetQr) -> m.QrResult:
    """Hand out the current QR, rendered; never disturb a session that works."""
    keeper = call.find(params.account)
    account, clock = keeper.account, call.services.clock
    follows = params.newer_than is not None
    if not follows:
        if params.start and account.state is State.UNPAIRED and not keeper.is_about_to_pair:
            await keeper.pair()
        _require_qr_possible(keeper)

    def offer() -> QrOffer | None:
        current = account.attempt.current(clock.monotonic()) if account.attempt else None
        return current if current is not None and current.id != params.newer_than else None

    began_in = account.state

    def over() -> bool:
        if offer() is not None:
            return True
        if follows:
            # The scan is told at once, and once.
            return account.state is not began_in or account.state not in ATTEMPT_STATES
        return account.state is not State.PAIRING and not keeper.is_about_to_pair

    await account.until(over, params.wait_seconds)
    call.insist(keeper)
    current = offer()
    if current is None:
        if not follows:
            _require_qr_possible(keeper)
        return m.QrResult(account=_view(call, keeper), qr=None)
    call.services.auditor.by_peer(
        call.peer.uid, call.peer.pid, "account.qr", account.record, result="done", detail=f"QR {current.id}"
    )
    return m.QrResult(account=_view(call, keeper), qr=await _rendered(current, params, clock))


def _require_qr_possible(keeper: Keeper) -> None:
    record = keeper.account.record
    name, state = record.name, record.state
    phone = f" with {record.phone}" if record.phone else ""
    if state is State.FAILED:
        raise TowerError("needs-human", f"{name} is failed ({record.reason})", hint=keeper.action(ACCOUNT))
    if keeper.account.record.is_linked:
        keeper.moving.require_here()
    if state is State.STOPPED:
        hint = f"run: towerctl start {ACCOUNT}" + ("" if record.is_linked else f" && towerctl qr {ACCOUNT}")
        raise TowerError("wrong-state", f"{name} is stopped, so there is no QR", hint=hint)
    if state is State.UNPAIRED and not keeper.is_about_to_pair:
        raise TowerError(
            "wrong-state", f"{name} is unpaired and no pairing runs", hint=f"run: towerctl pair {ACCOUNT}"
        )
    attempt = keeper.account.attempt
    if attempt is not None and attempt.phone is not None:
        raise TowerError(
            "wrong-state",
            f"{name} pairs by code, so there is no QR",
            hint=f"for a QR run: towerctl pair {ACCOUNT}",
        )
    if state in LINKED_STATES:
        raise TowerError(
            "wrong-state",
            f"{name} is linked{phone} already, so there is no QR",
            hint=f"to link another phone run: towerctl logout {ACCOUNT} --yes "
            f"&& towerctl pair {ACCOUNT} --new-phone && towerctl qr {ACCOUNT}",
        )


async def _rendered(offer: QrOffer, params: m.GetQr, clock: Clock) -> wire.Qr:
    # A symbol takes tens of milliseconds; the event loop serves others meanwhile.
    picture = await asyncio.to_thread(
        render,
        offer.payload,
        params.format,
        scale=params.scale,
        border=params.border,
        invert=params.invert,
    )
    return wire.Qr(
        id=offer.id,
        format=params.format,
        media_type=picture.media_type,
        encoding=picture.encoding,
        data=picture.data,
        round=offer.round,
        number=offer.number,
        count=CODES_PER_ROUND,
        issued_at=wall_time(offer.issued_at, clock),
        expires_at=wall_time(offer.expires_at, clock),
        expires_in_seconds=round(offer.expires_at - clock.monotonic(), 3),
    )
