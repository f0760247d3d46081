"""The metadata database: one SQLite file in WAL mode, one connection a thread, one writer at a time.

Durability rests on two settings: ``journal_mode=WAL`` makes a transaction visible whole or not at all, and
``synchronous=FULL`` makes it survive a power cut once ``COMMIT`` returned. Two processes may have the file open:
writers wait for each other on SQLite's own lock.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solo_hub.core.errors import SoloHubError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SCHEMA_VERSION = 1
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
BUSY_SECONDS = 60.0  # a writer waits this long for another process before giving up

_SCHEMA = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")


def is_full(error: BaseException) -> bool:
    """Whether an error means a disk without room; SQLite tells so by codes of its own, one for its file in memory."""
    code = getattr(error, "sqlite_errorcode", None)
    return (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or code in _FULL


class _Connection(sqlite3.Connection):
    """A connection that closes with its thread: worker threads come and go while a server runs."""

    def __del__(self) -> None:
        self.close()


class Database:
    """Connections to the metadata file, made per thread on first use."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._all: weakref.WeakSet[_Connection] = weakref.WeakSet()
        self._guard = threading.Lock()
        # SQLite's busy handler polls; within one process a lock is fair and wakes at once.
        self._writer = threading.RLock()
        if not path.exists():
            path.touch(mode=0o600)  # it holds the key that tickets are signed with; SQLite's other files follow it
        with self.write() as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                version = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()["value"]
                if version != str(SCHEMA_VERSION):
                    raise SoloHubError(
                        f"The embedded Hub in {path.parent} was made by another solo-hub (format {version}).",
                        hint="Use that version, or another folder.",
                    )
            else:
                for statement in _SCHEMA.split(";\n"):
                    if statement.strip():
                        connection.execute(statement)
                connection.execute("INSERT INTO meta (key, value) VALUES ('schema', ?)", (str(SCHEMA_VERSION),))

    def _connection(self) -> sqlite3.Connection:
        connection: _Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
                factory=_Connection,
            )
            connection.row_factory = sqlite3.Row
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA cache_size = -8192")  # 8 MiB a connection
            self._local.connection = connection
            with self._guard:
                self._all.add(connection)
        return connection

    def all(self, sql: str, parameters: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """All rows of a query."""
        return self._connection().execute(sql, tuple(parameters)).fetchall()

    def one(self, sql: str, parameters: Iterable[Any] = ()) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        row: sqlite3.Row | None = self._connection().execute(sql, tuple(parameters)).fetchone()
        return row

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A read transaction: several queries that see one state of the database."""
        connection = self._connection()
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A write transaction; nested calls join the outer one, an exception undoes everything."""
        connection = self._connection()
        if getattr(self._local, "writing", False):
            yield connection
            return
        with self._writer:
            connection.execute("BEGIN IMMEDIATE")
            self._local.writing = True
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # where the disk is full, SQLite may have undone it already
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._local.writing = False

    def close(self) -> None:
        """Close every connection; the database object must not be used afterwards."""
        with self._guard:
            for connection in list(self._all):
                connection.close()
        self._local = threading.local()
