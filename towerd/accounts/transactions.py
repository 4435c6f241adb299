"""Transactions of the account database, whose errors are the registry's own.

The one rule: no error of the database library leaves `towerd.accounts`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from peewee import IntegrityError, PeeweeException, SqliteDatabase


class RegistryError(Exception):
    """The database could not be read or written; nothing was changed."""


class NameTakenError(Exception):
    """Another account of the same owner has the name; nothing was changed."""


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn the errors of a query into the registry's own."""
    try:
        yield
    except PeeweeException as error:
        raise RegistryError(str(error)) from error


class Transaction:
    """A transaction whose errors are the registry's own."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._atomic = database.atomic("IMMEDIATE")

    def __enter__(self) -> None:
        try:
            self._atomic.__enter__()
        except PeeweeException as error:
            raise RegistryError(str(error)) from error

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            self._atomic.__exit__(kind, error, trace)
        except PeeweeException as failure:
            # After a full disk SQLite has rolled back already, and that a second rollback fails is no news.
            cause = error if isinstance(error, PeeweeException) else failure
            raise RegistryError(str(cause)) from cause
        if isinstance(error, IntegrityError) and "name" in str(error):
            raise NameTakenError(str(error)) from error
        if isinstance(error, PeeweeException):
            raise RegistryError(str(error)) from error
