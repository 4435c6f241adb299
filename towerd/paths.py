"""Where things lie: socket, state and configuration, as a service and run by hand.

The one rule: the environment is read here and nowhere else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from towerd.protocol.framing import MAX_SOCKET_PATH_BYTES

SYSTEM_SOCKET = Path("/run/tower/tower.sock")
SYSTEM_CONFIG = Path("/etc/tower/tower.toml")


class PathsError(Exception):
    """A path is missing or cannot be used; the message names it and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The daemon's paths.

    Attributes:
        is_config_named: somebody named the configuration, so its absence is an error.
        socket_mode: 0660 as a service (the group is let in), else 0600.
        plain_dir: where plain copies of sealed stores may lie; None when there is no such place.
        credentials: where systemd put the credentials of the service.
    """

    socket: Path
    state_dir: Path
    config: Path
    is_config_named: bool
    socket_mode: int
    plain_dir: Path | None = None
    credentials: Path | None = None

    @property
    def sessions_dir(self) -> Path:
        """Directory of all stores."""
        return self.state_dir / "sessions"

    @property
    def database(self) -> Path:
        """The account database."""
        return self.state_dir / "tower.db"

    @property
    def lock(self) -> Path:
        """Held by the daemon that uses this state directory."""
        return self.state_dir / "towerd.lock"


def find_paths(
    *,
    socket: str | None,
    state_dir: str | None,
    config: str | None,
    environment: Mapping[str, str] = os.environ,
) -> Paths:
    """Find the paths: an option, else TOWER_*, else systemd's directories, else the user's own.

    Raises:
        PathsError: a path is missing or cannot be used.
    """
    is_service = "STATE_DIRECTORY" in environment
    config_path, is_config_named = find_config(config, environment)
    state_path = Path(
        state_dir
        or environment.get("TOWER_STATE_DIR")
        or environment.get("STATE_DIRECTORY", "").partition(":")[0]
        or platformdirs.user_state_path("tower")
    ).absolute()
    paths = Paths(
        socket=Path(socket or environment.get("TOWER_SOCKET") or _socket(environment, is_service)),
        state_dir=state_path,
        config=config_path,
        is_config_named=is_config_named,
        socket_mode=0o660 if is_service else 0o600,
        plain_dir=_plain_dir(environment, state_path),
        credentials=find_credentials(environment),
    )
    if len(os.fsencode(paths.socket)) > MAX_SOCKET_PATH_BYTES:
        msg = (
            f"the socket path is longer than {MAX_SOCKET_PATH_BYTES} bytes: {paths.socket}; "
            "choose a shorter one with --socket"
        )
        raise PathsError(msg)
    if any(character in str(paths.state_dir) for character in "?%#"):
        # The store's path goes into a SQLite URI, where these are special.
        msg = f"the state directory must not contain '?', '%' or '#': {paths.state_dir}"
        raise PathsError(msg)
    return paths


# What a program of somebody else's may know of our environment; the rest is ours and our workers'.
_SHARED_VARIABLES = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ"),
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)


def shared_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return what programs that the daemon runs for others may know of its environment."""
    return {name: environment[name] for name in _SHARED_VARIABLES if name in environment}


def _socket(environment: Mapping[str, str], is_service: bool) -> Path:  # noqa: FBT001
    if is_service:
        return SYSTEM_SOCKET
    runtime = environment.get("XDG_RUNTIME_DIR")
    if not runtime:
        msg = (
            "XDG_RUNTIME_DIR is not set, so there is no private place for the socket; name one with --socket"
        )
        raise PathsError(msg)
    return Path(runtime) / "tower" / "tower.sock"


def _plain_dir(environment: Mapping[str, str], state_dir: Path) -> Path | None:
    """Return where plain copies of sealed stores may lie."""
    if given := environment.get("RUNTIME_DIRECTORY"):
        paths = [Path(path) for path in given.split(":")]
        return next((path for path in paths if path.name == "tower-stores"), paths[0])
    if not (runtime := environment.get("XDG_RUNTIME_DIR")):
        return None
    # A user may run several daemons, each on a state directory of its own.
    own = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:16]
    return Path(runtime) / "tower-stores" / own


def find_credentials(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where systemd put the credentials of this service (systemd.exec(5)); None without any."""
    given = environment.get("CREDENTIALS_DIRECTORY")
    return Path(given) if given else None


def find_config(config: str | None, environment: Mapping[str, str] = os.environ) -> tuple[Path, bool]:
    """Return the configuration file, and whether somebody named it."""
    named = config or environment.get("TOWER_CONFIG")
    if named:
        return Path(named), True
    is_service = "STATE_DIRECTORY" in environment
    return SYSTEM_CONFIG if is_service else platformdirs.user_config_path("tower") / "tower.toml", False
