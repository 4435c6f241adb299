"""The command line of towerd: a client without state of its own."""

from __future__ import annotations


def version() -> str:
    """Return the version of the installed package."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed_version

    try:
        return installed_version("tower")
    except PackageNotFoundError:
        return "unknown"
