"""How many workers may be starting at once.

The one rule: a start holds its place until the worker got somewhere or ended; the next one begins then,
in the order of asking.
"""

from __future__ import annotations

from collections.abc import Callable


class StartGate:
    """Bounds the starts under way.

    Args:
        places: says how many there may be now.
    """

    def __init__(self, places: Callable[[], int]) -> None:
        self._places = places
        self._inside: set[str] = set()
        self._waiting: dict[str, Callable[[], None]] = {}

    def enter(self, key: str, begin: Callable[[], None]) -> bool:
        """Take a place for a start.

        Args:
            key: whose start it is; one that has a place keeps it.
            begin: called when a place is free, if none is now.

        Returns:
            True when there is a place now; `begin` is not called then.
        """
        if key in self._inside or len(self._inside) < self._places():
            self._waiting.pop(key, None)
            self._inside.add(key)
            return True
        self._waiting[key] = begin
        return False

    def leave(self, key: str) -> None:
        """Give a place, or the wait for one, up."""
        self._waiting.pop(key, None)
        if key not in self._inside:
            return
        self._inside.discard(key)
        while self._waiting and len(self._inside) < self._places():
            following, begin = next(iter(self._waiting.items()))
            del self._waiting[following]
            self._inside.add(following)
            begin()
