"""Who calls is what the kernel says."""

from __future__ import annotations

import os
import socket

import pytest

from towerd.rpc.peer import Peer, peer_of


def peer_of_a_new_connection() -> Peer:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        return peer_of(ours)


def test_peer_is_the_process_at_the_other_end_with_all_its_groups() -> None:
    assert peer_of_a_new_connection() == Peer(
        uid=os.geteuid(),
        gid=os.getegid(),
        pid=os.getpid(),
        groups=frozenset({os.getegid(), *os.getgroups()}),
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be in groups at will")
@pytest.mark.parametrize("count", [0, 1, 64, 65, 257, 5000])
def test_any_number_of_groups_is_seen(count: int) -> None:
    former = os.getgroups()
    wanted = list(range(70_000, 70_000 + count))
    os.setgroups(wanted)
    try:
        assert peer_of_a_new_connection().groups == {os.getegid(), *wanted}
    finally:
        os.setgroups(former)
