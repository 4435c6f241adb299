"""Finding the daemon's socket.

The one rule: a socket that was named (option, environment, --user, --system) is the only one tried; otherwise
the caller's own comes before the system's, and why one was passed over is said.
"""

# pathlib would cost a twentieth of a whole `towerctl list`.
# ruff: noqa: PTH116, PTH120

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Callable, Mapping, Sequence

from towerctl.exits import Failure
from towerd.protocol.framing import MAX_SOCKET_PATH_BYTES

SYSTEM_SOCKET = "/run/tower/tower.sock"
SYSTEM_GROUP = "tower"

# connect(2) on a Unix socket with a full backlog says EAGAIN at once; there is nothing to wait on but time.
_BACKLOG_RETRY_SECONDS = 0.05


class Absent(Exception):
    """A socket that could not be used.

    Args:
        path: the socket.
        what: the fact in a few words, for a list of what was tried.
        hint: the next command; None when it is to start the daemon.
        is_forbidden: it may answer others.
    """

    def __init__(self, path: str, what: str, *, hint: str | None = None, is_forbidden: bool = False) -> None:
        super().__init__(what)
        self.path = path
        self.what = what
        self.hint = hint
        self.is_forbidden = is_forbidden


def open_socket(
    *,
    path: str | None,
    scope: str | None,
    environment: Mapping[str, str],
    timeout_seconds: float | None,
    note: Callable[[str], None],
) -> tuple[socket.socket, str]:
    """Connect to towerd and return the connection and the path that answered.

    Args:
        path: what --socket said.
        scope: "user", "system" or None.
        environment: looked up for TOWER_SOCKET and XDG_RUNTIME_DIR.
        timeout_seconds: for a daemon that is too busy to accept; None waits for ever.
        note: told why a socket was passed over.

    Raises:
        Failure: no socket answers (`unreachable`), or the one named cannot be one (`usage`).
    """
    named = _named_socket(path, scope, environment)
    if named is not None:
        try:
            return _connect(named, timeout_seconds), named
        except Absent as absent:
            raise _unreachable([absent], scope=scope) from absent
    tried: list[Absent] = []
    own = user_socket(environment)
    if own is not None:
        try:
            _check_ownership(own)
            return _connect(own, timeout_seconds), own
        except Absent as absent:
            tried.append(absent)
            if os.path.lexists(own):
                note(f"passing over {own}: it {absent.what}")
    try:
        return _connect(SYSTEM_SOCKET, timeout_seconds), SYSTEM_SOCKET
    except Absent as absent:
        raise _unreachable([*tried, absent], scope=None) from absent


def user_socket(environment: Mapping[str, str]) -> str | None:
    """Return the path of the caller's own socket, or None without XDG_RUNTIME_DIR."""
    runtime = environment.get("XDG_RUNTIME_DIR")
    return f"{runtime}/tower/tower.sock" if runtime else None


class Mute(Failure):
    """The daemon took the request and said nothing within the time.

    Args:
        path: the socket.
        timeout_seconds: the time.
    """

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__(
            "unreachable",
            f"towerd at {path} is mute: no answer within {timeout_seconds:g} s",
            hint=_start_command(path),
        )
        self.timeout_seconds = timeout_seconds


def _named_socket(path: str | None, scope: str | None, environment: Mapping[str, str]) -> str | None:
    if path is not None and scope is not None:
        raise Failure("usage", f"--socket and --{scope} exclude each other")
    if path is not None:
        if not path:
            raise Failure("usage", "--socket needs a path")
        _check_length(path)
        return path
    if scope == "system":
        return SYSTEM_SOCKET
    if scope == "user":
        own = user_socket(environment)
        if own is None:
            raise Failure(
                "usage", "--user needs XDG_RUNTIME_DIR, which is not set", hint="towerctl --socket PATH …"
            )
        _check_length(own)
        return own
    from_environment = environment.get("TOWER_SOCKET")
    if from_environment:
        _check_length(from_environment)
    return from_environment or None


def _check_length(path: str) -> None:
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH_BYTES:
        message = f"socket path too long: {length} bytes, {MAX_SOCKET_PATH_BYTES} at most: {path}"
        raise Failure(
            "usage", message, hint="a Unix socket's path is limited by the kernel; use a shorter one"
        )


def _check_ownership(path: str) -> None:
    # Whoever owns the socket answers as towerd and is shown our requests.
    try:
        owner = os.stat(path).st_uid
    except OSError:
        return  # connect() says it better
    if owner != os.geteuid():
        raise Absent(path, f"belongs to user {user_name(owner)}, not to you")


def _connect(path: str, timeout_seconds: float | None) -> socket.socket:
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise Absent(path, f"has a path over {MAX_SOCKET_PATH_BYTES} bytes")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    give_up_at = None if timeout_seconds is None else time.monotonic() + timeout_seconds
    try:
        connection.settimeout(timeout_seconds)
        while True:
            try:
                connection.connect(path)
            except (BlockingIOError, TimeoutError):
                if give_up_at is not None and time.monotonic() >= give_up_at:
                    what = f"is mute: the connection was not accepted within {timeout_seconds:g} s"
                    raise Absent(path, what, hint=_start_command(path)) from None
                time.sleep(_BACKLOG_RETRY_SECONDS)
            else:
                return connection
    except OSError as error:
        connection.close()
        raise _absent(path, error) from None
    except BaseException:
        connection.close()
        raise


def _absent(path: str, error: OSError) -> Absent:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return Absent(path, "is absent")
        case errno.ECONNREFUSED:
            if _is_socket(path):
                return Absent(path, "is refused: no daemon listens there")
            return Absent(path, "is not a socket")
        case errno.EACCES | errno.EPERM:
            return Absent(path, "is forbidden to you", hint=_access_command(path), is_forbidden=True)
        case errno.EPROTOTYPE:
            return Absent(path, "is a socket of another kind")
        case _:
            return Absent(path, f"cannot be used: {error.strerror or error}")


class Unreachable(Failure):
    """No socket answers.

    Args:
        tried: all sockets, the one that should have answered last.
        hint: the next command.
    """

    def __init__(self, tried: Sequence[Absent], hint: str) -> None:
        reasons = "; ".join(f"{absent.path} {absent.what}" for absent in tried)
        super().__init__("unreachable", f"towerd cannot be reached: {reasons}", hint=hint)
        self.tried = tried


def _unreachable(tried: list[Absent], *, scope: str | None) -> Unreachable:
    hint = next((absent.hint for absent in tried if absent.hint), None)
    if hint is None:
        hint = "start it by hand: towerd" if scope == "user" else _start_command(tried[-1].path)
    return Unreachable(tried, hint)


def _start_command(path: str) -> str:
    if path == SYSTEM_SOCKET:
        return "systemctl status towerd   (or, by hand: towerd)"
    return f"see whether it runs: systemctl status towerd, or by hand: towerd --socket {path}"


def _access_command(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        status = None
    if path == SYSTEM_SOCKET and _is_member():
        return f"you are in group {SYSTEM_GROUP}, so it is the socket; see: sudo towerctl doctor"
    if path == SYSTEM_SOCKET or (status and group_name(status.st_gid) == SYSTEM_GROUP):
        return f"join group {SYSTEM_GROUP}: sudo usermod -aG {SYSTEM_GROUP} $USER, then log in again"
    if status is None:
        return f"see who may: ls -ld {os.path.dirname(path) or '.'}"
    return f"it belongs to user {user_name(status.st_uid)}; run towerctl as that user"


def _is_member() -> bool:
    import grp

    try:
        return grp.getgrnam(SYSTEM_GROUP).gr_gid in {os.getegid(), *os.getgroups()}
    except KeyError:
        return False


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def user_name(uid: int) -> str:
    """Return how a user is called, the number where nobody is."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Return how a group is called, the number where none is."""
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
