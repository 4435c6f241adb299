"""The worker process's machine, as data: states, triggers, one table, `next_process_state`. Nothing else.

The one rule: it knows processes, not WhatsApp; what a session is doing is another machine in another file.
"""

from __future__ import annotations

from enum import StrEnum


class ProcessState(StrEnum):
    """Where a worker process stands."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    EXITED = "exited"


class ProcessTrigger(StrEnum):
    """What can happen to a worker process."""

    BEGUN = "begun"
    END = "end"
    EXIT = "exit"


PROCESS_TRANSITIONS: dict[ProcessState, dict[ProcessTrigger, ProcessState]] = {
    ProcessState.STARTING: {
        ProcessTrigger.BEGUN: ProcessState.RUNNING,
        ProcessTrigger.END: ProcessState.STOPPING,
        ProcessTrigger.EXIT: ProcessState.EXITED,
    },
    ProcessState.RUNNING: {
        ProcessTrigger.END: ProcessState.STOPPING,
        ProcessTrigger.EXIT: ProcessState.EXITED,
    },
    ProcessState.STOPPING: {
        ProcessTrigger.BEGUN: ProcessState.STOPPING,
        ProcessTrigger.END: ProcessState.STOPPING,
        ProcessTrigger.EXIT: ProcessState.EXITED,
    },
    ProcessState.EXITED: {},
}


def next_process_state(state: ProcessState, trigger: ProcessTrigger) -> ProcessState:
    """Return the state that follows.

    Raises:
        KeyError: the process is over, or never reported this; a bug in the handle.
    """
    return PROCESS_TRANSITIONS[state][trigger]
