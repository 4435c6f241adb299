"""The commands, one file per family of verbs; each is loaded when it is asked for."""

from __future__ import annotations

COMMANDS = {
    "list": "accounts:list_accounts",
    "show": "accounts:show",
    "add": "accounts:add",
    "import": "importing:import_accounts",
    "rename": "accounts:rename",
    "primary": "accounts:primary",
    "remove": "accounts:remove",
    "qr": "qr:qr",
    "pair": "pairing:pair",
    "unpair": "pairing:unpair",
    "logout": "pairing:logout",
    "wait": "waiting:wait",
    "start": "running:start",
    "stop": "running:stop",
    "restart": "running:restart",
    "watch": "watch:watch",
    "events": "events:events",
    "send": "sending:send",
    "outbox": "sending:outbox",
    "messages": "messages:messages",
    "groups": "messages:groups",
    "audit": "audit:audit",
    "metrics": "metrics:metrics",
    "health": "health:health",
    "status": "daemon:status",
    "config": "configuration:config",
    "reload": "configuration:reload",
    "release": "daemon:release",
    "notify": "notify:notify",
    "version": "daemon:version",
    "rpc": "daemon:rpc",
    "completion": "completion:completion",
}
"""Command → module and function, in the order of the manual."""
