"""Whether stores are sealed: with a key they are, without one they are plain.

The one rule: a key that is there and cannot be used ends the start; towerd never goes on plain instead.
"""

from __future__ import annotations

import logging
from pathlib import Path

from sessions.keys import KeyFileError, Keys, StoreKey, ring
from sessions.store import sweep
from towerd import plain_memory
from towerd.clock import Clock
from towerd.key_source import KeySource
from towerd.paths import Paths
from towerd.supervision.stores import Stores

log = logging.getLogger(__name__)


class SealingError(Exception):
    """Stores should be sealed and cannot be; the message names the remedy."""


def open_stores(paths: Paths, source: KeySource, *, clock: Clock) -> Stores:
    """Return the stores, with their directories made.

    Args:
        paths: where they lie.
        source: where the key is.
        clock: times the seals.

    Raises:
        SealingError: the key cannot be used, or there is no memory for plain copies.
        OSError: a directory cannot be made.
    """
    paths.sessions_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    sweep(paths.sessions_dir)
    try:
        key = source.read()
    except KeyFileError as error:
        raise SealingError(str(error)) from error
    if key is None:
        return Stores(paths.sessions_dir)
    if paths.plain_dir is None:
        msg = (
            f"{source} is there, but no memory for plain stores: "
            "set RuntimeDirectory=tower-stores in the unit, or XDG_RUNTIME_DIR by hand"
        )
        raise SealingError(msg)
    try:
        plain_memory.prepare(paths.plain_dir)
    except plain_memory.NotInMemoryError as error:
        msg = f"{error}; plain stores must lie on a tmpfs, such as the one on /run"
        raise SealingError(msg) from error
    sweep(paths.plain_dir)
    # Only now: 8 MB that a daemon without a key need not have.
    from towerd.supervision.sealing import SealedStores

    keys = _keys(key, paths.sessions_dir)
    log.info("stores are sealed with the key %s", keys.current.name)
    stores = SealedStores(
        paths.sessions_dir, plain_dir=paths.plain_dir, keys=keys, source=source, clock=clock
    )
    if problem := plain_memory.swap_problem(paths.plain_dir):
        log.warning("%s", problem)
        stores.problems.append(problem)
    return stores


def _keys(key: StoreKey, sessions_dir: Path) -> Keys:
    """Return the keys: the given one and, while stores go from one key to another, both.

    Raises:
        SealingError: the given one is neither of the two.
    """
    from sessions.keyring import KeyRingError
    from towerd.supervision.sealing import ring_file

    try:
        under_way = ring_file(sessions_dir).read(ring(key))
    except (KeyRingError, OSError) as error:
        raise SealingError(str(error)) from error
    if under_way is None:
        return Keys(current=key)
    old, new = under_way
    return Keys(current=new, former=(old,))
