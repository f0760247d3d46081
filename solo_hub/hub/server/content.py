"""The content-addressed store: bytes named by their sha256, whatever way they came in.

Three places, one name: small contents live in the database (they commit with the commit), large ones are files, and
what came through Xet is put together from its chunks when read. A file reaches its final name only by rename, after
its bytes were hashed and flushed to the disk, so under a hash there is either the right content or none.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from solo_hub.hub.server import limits
from solo_hub.hub.server.errors import ApiError, bad_request
from solo_hub.hub.server.spool import Spool, sync_folder

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from solo_hub.hub.server.db import Database
    from solo_hub.hub.server.xet.store import XetStore


@dataclass(frozen=True, slots=True)
class Blob:
    """What is known about a content.

    Attributes:
        sha256: Its name.
        size: Bytes.
        xet_hash: Its name in Xet, when it came that way.
    """

    sha256: str
    size: int
    xet_hash: str | None


class ContentStore:
    """Blobs of one root."""

    def __init__(self, root: Path, db: Database, xet: XetStore) -> None:
        self._db = db
        self._xet = xet
        self.blobs_dir = root / "blobs"
        self.tmp_dir = root / "tmp"
        self.blobs_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.tmp_dir.mkdir(exist_ok=True, mode=0o700)

    def spool(self, *, limit: int, hashed: bool = True) -> Spool:
        """A fresh temporary file."""
        return Spool(self.tmp_dir / secrets.token_hex(16), limit=limit, hashed=hashed)

    def find(self, sha256: str) -> Blob | None:
        """The blob of a hash, or None."""
        row = self._db.one("SELECT size, xet_hash FROM blobs WHERE sha256 = ?", (sha256,))
        return Blob(sha256, row["size"], row["xet_hash"]) if row else None

    def in_repo(self, repo_id: int, sha256: str) -> bool:
        """Whether the blob was uploaded to or committed in the repo."""
        return self._db.one("SELECT 1 FROM repo_blobs WHERE repo_id = ? AND sha256 = ?", (repo_id, sha256)) is not None

    def link(self, connection: sqlite3.Connection, repo_id: int, sha256: str) -> None:
        """Note that a repo has the blob; again, so that its age for collection starts anew."""
        connection.execute(
            "INSERT INTO repo_blobs (repo_id, sha256, created_at) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET created_at = excluded.created_at",
            (repo_id, sha256, time.time()),
        )

    def add_small(self, connection: sqlite3.Connection, data: bytes) -> str:
        """Store a content of at most `limits.SMALL_BLOB` bytes in the caller's transaction; gives its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        connection.execute(
            "INSERT INTO blobs (sha256, size, place, created_at, data) VALUES (?, ?, 'db', ?, ?)"
            " ON CONFLICT DO UPDATE SET created_at = excluded.created_at",
            (sha256, len(data), time.time(), data),
        )
        return sha256

    def add_large(self, data: bytes) -> str:
        """Store a content that is in memory but too large for the database; gives its sha256."""
        spool = self.spool(limit=len(data))
        try:
            spool.write(data)
            self.adopt(spool)
        finally:
            spool.discard()
        return spool.sha256

    def adopt(self, spool: Spool, *, repo_id: int | None = None) -> Blob:
        """Turn a filled temporary file into a blob under its hash, and link it to a repo."""
        sha256, size = spool.sha256, spool.size
        spool.flush()
        target = self.path(sha256)
        with self._db.write() as connection:  # the collector unlinks under the same lock
            row = connection.execute("SELECT place FROM blobs WHERE sha256 = ?", (sha256,)).fetchone()
            if row is None:
                target.parent.mkdir(exist_ok=True)
                spool.path.replace(target)
                sync_folder(target.parent)
                connection.execute(
                    "INSERT INTO blobs (sha256, size, place, created_at) VALUES (?, ?, 'disk', ?)",
                    (sha256, size, time.time()),
                )
            else:
                connection.execute("UPDATE blobs SET created_at = ? WHERE sha256 = ?", (time.time(), sha256))
            if repo_id is not None:
                self.link(connection, repo_id, sha256)
        blob = self.find(sha256)
        if blob is None:
            raise ApiError(409, "The object was removed while it was being stored; send it again.")
        return blob

    def join_parts(self, parts: list[Path], sha256: str, size: int, *, repo_id: int) -> Blob:
        """Make one blob of the parts of a multipart upload.

        Raises:
            ApiError: 400 when the parts together are not the announced content.
        """
        spool = self.spool(limit=size)
        try:
            for part in parts:
                with part.open("rb") as file:
                    while data := file.read(limits.READ_CHUNK):
                        spool.write(data)
            if spool.size != size or spool.sha256 != sha256:
                raise bad_request("The uploaded parts do not add up to the announced size and sha256.")
            return self.adopt(spool, repo_id=repo_id)
        finally:
            spool.discard()

    def read(self, sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes ``[start, stop)`` of a blob, in pieces of bounded size.

        Raises:
            KeyError: There is no such blob.
        """
        row = self._db.one("SELECT size, place, xet_hash, data FROM blobs WHERE sha256 = ?", (sha256,))
        if row is None:
            raise KeyError(sha256)
        stop = row["size"] if stop is None else min(stop, row["size"])
        if row["place"] == "db":
            return iter((bytes(row["data"][start:stop]),))
        if row["place"] == "xet":
            return self._xet.read_file(row["xet_hash"], start, stop)
        return self.read_range(self.path(sha256), start, stop)

    def read_all(self, sha256: str, *, limit: int) -> bytes | None:
        """A whole content if it has at most ``limit`` bytes, else None."""
        blob = self.find(sha256)
        if blob is None or blob.size > limit:
            return None
        return b"".join(self.read(sha256))

    def path(self, sha256: str) -> Path:
        """Where a blob on disk lies."""
        return self.blobs_dir / sha256[:2] / sha256

    def free_bytes(self) -> int:
        """Room left on the disk."""
        return shutil.disk_usage(self.blobs_dir).free

    @staticmethod
    def read_range(path: Path, start: int, stop: int) -> Iterator[bytes]:
        """The bytes ``[start, stop)`` of a file, in pieces of bounded size."""
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            left = stop - start
            while left > 0:
                data = file.read(min(left, limits.READ_CHUNK))
                if not data:
                    raise OSError(f"{path.name} is shorter than it was")
                left -= len(data)
                yield data
