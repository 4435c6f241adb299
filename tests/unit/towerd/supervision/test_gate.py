"""How many workers may be starting at once."""

from __future__ import annotations

from towerd.supervision.gate import StartGate


class Starts:
    """Starts that were let in, in order."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    def begin(self, key: str) -> None:
        self.begun.append(key)


def test_no_more_than_the_places_are_inside() -> None:
    gate, starts = StartGate(lambda: 2), Starts()
    entered = [gate.enter(key, lambda key=key: starts.begin(key)) for key in ("a", "b", "c", "d")]
    assert entered == [True, True, False, False]
    assert starts.begun == []


def test_who_leaves_lets_the_longest_waiting_in() -> None:
    gate, starts = StartGate(lambda: 1), Starts()
    for key in ("a", "b", "c"):
        gate.enter(key, lambda key=key: starts.begin(key))
    gate.leave("a")
    assert starts.begun == ["b"]
    gate.leave("b")
    assert starts.begun == ["b", "c"]


def test_who_gives_up_waiting_is_not_begun() -> None:
    gate, starts = StartGate(lambda: 1), Starts()
    for key in ("a", "b", "c"):
        gate.enter(key, lambda key=key: starts.begin(key))
    gate.leave("b")
    gate.leave("a")
    assert starts.begun == ["c"]


def test_who_is_inside_keeps_its_place() -> None:
    gate, starts = StartGate(lambda: 1), Starts()
    assert gate.enter("a", lambda: starts.begin("a"))
    assert gate.enter("a", lambda: starts.begin("a"))
    gate.leave("a")
    assert gate.enter("b", lambda: starts.begin("b"))


def test_leaving_twice_lets_one_in_once() -> None:
    gate, starts = StartGate(lambda: 1), Starts()
    for key in ("a", "b", "c"):
        gate.enter(key, lambda key=key: starts.begin(key))
    gate.leave("a")
    gate.leave("a")
    assert starts.begun == ["b"]
