"""The daemon: accounts, worker processes, and JSON-RPC on a Unix socket."""

__version__ = "0.1.0"
