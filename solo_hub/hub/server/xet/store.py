"""Xorbs on disk, their chunk tables and the files made of them in the database.

Nothing is stored before it is proven: a xorb's chunks are unpacked and hashed and must give the xorb's name, a file's
chunks must give the file's name, and its bytes are read through once for their sha256.
"""

from __future__ import annotations

import hashlib
import struct
import time
from typing import TYPE_CHECKING

from solo_hub.hub.server import limits
from solo_hub.hub.server.errors import ApiError, bad_request
from solo_hub.hub.server.spool import sync_folder
from solo_hub.hub.server.xet import formats, hashing
from solo_hub.hub.server.xet.formats import CHUNK_HEADER, Chunk, ShardFile, Term

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from solo_hub.hub.server.db import Database
    from solo_hub.hub.server.spool import Spool

_CHUNK = struct.Struct("<32sII")
_TERM = struct.Struct("<32sIIQ")
CACHED_TABLES = 64


class XetStore:
    """The Xet side of one root."""

    def __init__(self, root: Path, db: Database) -> None:
        self._db = db
        self.xorbs_dir = root / "xorbs"
        self.xorbs_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._tables: dict[str, list[Chunk]] = {}

    def has_xorb(self, name: str) -> bool:
        """Whether a xorb is here."""
        return self._db.one("SELECT 1 FROM xorbs WHERE hash = ?", (name,)) is not None

    def add_xorb(self, name: str, spool: Spool) -> bool:
        """Verify an uploaded xorb and keep it; False when it was here already.

        Raises:
            ApiError: 400 when its content does not have that name.
        """
        spool.flush()
        with spool.path.open("rb") as file:
            chunks = list(formats.read_xorb(file))
        if hashing.to_hex(hashing.xorb_hash([(chunk.hash, chunk.size) for chunk in chunks])) != name:
            raise bad_request("The xorb's content does not have the hash it was sent under.")
        table = b"".join(_CHUNK.pack(chunk.hash, chunk.offset, chunk.size) for chunk in chunks)
        with self._db.write() as connection:
            if connection.execute("SELECT 1 FROM xorbs WHERE hash = ?", (name,)).fetchone():
                connection.execute("UPDATE xorbs SET created_at = ? WHERE hash = ?", (time.time(), name))
                return False
            target = self.path(name)
            target.parent.mkdir(exist_ok=True)
            spool.path.replace(target)
            sync_folder(target.parent)
            connection.execute(
                "INSERT INTO xorbs (hash, size, chunks, created_at) VALUES (?, ?, ?, ?)",
                (name, spool.size, table, time.time()),
            )
        return True

    def add_file(self, file: ShardFile, repo_id: int) -> None:
        """Verify a file of a shard, read it once for its sha256, and make it a blob of the repo.

        Raises:
            ApiError: 400 when a xorb is missing or any of the hashes does not hold.
        """
        name = hashing.to_hex(file.hash)
        # Also for a file that is here already: a name alone is no right to link the file to another repo.
        self._verify(file, name)
        size = sum(term.size for term in file.terms)
        known = self._db.one("SELECT sha256 FROM xet_files WHERE hash = ?", (name,))
        sha256 = str(known["sha256"]) if known else self._sha256(file.terms)
        if file.sha256 is not None and file.sha256 != sha256:
            raise bad_request("A file of the shard does not have the sha256 it was sent with.")
        now = time.time()
        with self._db.write() as connection:
            xorbs = {hashing.to_hex(term.xorb) for term in file.terms}
            for xorb in xorbs:  # again, now that the collector cannot come in between
                if not connection.execute("SELECT 1 FROM xorbs WHERE hash = ?", (xorb,)).fetchone():
                    raise bad_request("A xorb of the shard was removed; upload it again.")
            connection.execute(
                "INSERT OR IGNORE INTO xet_files (hash, size, sha256, terms, created_at) VALUES (?, ?, ?, ?, ?)",
                (name, size, sha256, b"".join(_TERM.pack(t.xorb, t.start, t.stop, t.size) for t in file.terms), now),
            )
            connection.executemany(
                "INSERT OR IGNORE INTO xet_file_xorbs (file_hash, xorb_hash) VALUES (?, ?)",
                [(name, xorb) for xorb in xorbs],
            )
            # The same content may lie here as a plain file already; then it just learns its Xet name.
            connection.execute(
                "INSERT INTO blobs (sha256, size, place, xet_hash, created_at) VALUES (?, ?, 'xet', ?, ?)"
                " ON CONFLICT DO UPDATE SET created_at = excluded.created_at, xet_hash = excluded.xet_hash",
                (sha256, size, name, now),
            )
            connection.execute(
                "INSERT INTO repo_blobs (repo_id, sha256, created_at) VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET created_at = excluded.created_at",
                (repo_id, sha256, now),
            )

    def terms(self, name: str) -> list[Term]:
        """The terms of a file.

        Raises:
            KeyError: There is no such file.
        """
        row = self._db.one("SELECT terms FROM xet_files WHERE hash = ?", (name,))
        if row is None:
            raise KeyError(name)
        return [Term(*fields) for fields in _TERM.iter_unpack(row["terms"])]

    def table(self, xorb: str) -> list[Chunk]:
        """The chunks of a xorb.

        Raises:
            KeyError: There is no such xorb.
        """
        table = self._tables.get(xorb)
        if table is None:
            row = self._db.one("SELECT chunks FROM xorbs WHERE hash = ?", (xorb,))
            if row is None:
                raise KeyError(xorb)
            table = [Chunk(*fields) for fields in _CHUNK.iter_unpack(row["chunks"])]
            if len(self._tables) >= CACHED_TABLES:
                self._tables.clear()
            self._tables[xorb] = table
        return table

    def forget_tables(self) -> None:
        """Drop cached chunk tables, after a collection."""
        self._tables.clear()

    def byte_range(self, xorb: str, start: int, stop: int) -> tuple[int, int]:
        """Where the chunks ``[start, stop)`` lie in the xorb's file, as ``[first, behind last)``."""
        table = self.table(xorb)
        first = table[start].offset
        if stop < len(table):
            return first, table[stop].offset
        with self.path(xorb).open("rb") as file:
            file.seek(table[-1].offset)
            packed, _, _ = formats.parse_header(file.read(CHUNK_HEADER))
        return first, table[-1].offset + CHUNK_HEADER + packed

    def read_file(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes ``[start, stop)`` of a file, about a mebibyte at a time."""
        return self._read_terms(self.terms(name), start, stop)

    def path(self, xorb: str) -> Path:
        """Where a xorb lies."""
        return self.xorbs_dir / xorb[:2] / xorb

    def _verify(self, file: ShardFile, name: str) -> None:
        if sum(term.size for term in file.terms) > limits.MAX_BLOB:
            raise ApiError(413, f"A file of the shard is larger than {limits.MAX_BLOB} bytes.")
        if len(file.proofs) != len(file.terms):
            raise bad_request("A file of the shard has no verification hashes.")
        nodes: list[hashing.Node] = []
        for index, term in enumerate(file.terms):
            try:
                table = self.table(hashing.to_hex(term.xorb))
            except KeyError:
                raise bad_request("A file of the shard refers to a xorb that was not uploaded.") from None
            if term.stop > len(table):
                raise bad_request("A file of the shard refers to chunks its xorb does not have.")
            chunks = table[term.start : term.stop]
            if sum(chunk.size for chunk in chunks) != term.size:
                raise bad_request("A term of the shard does not have the size of its chunks.")
            if hashing.range_hash([chunk.hash for chunk in chunks]) != file.proofs[index]:
                raise bad_request("A term of the shard fails its verification hash.")
            nodes += [(chunk.hash, chunk.size) for chunk in chunks]
            if len(nodes) > limits.MAX_BLOB // 1024:
                raise ApiError(413, "A file of the shard has too many chunks.")
        if hashing.to_hex(hashing.file_hash(nodes)) != name:
            raise bad_request("A file of the shard does not have the hash of its chunks.")

    def _sha256(self, terms: Sequence[Term]) -> str:
        hasher = hashlib.sha256()
        for data in self._read_terms(terms, 0, sum(term.size for term in terms)):
            hasher.update(data)
        return hasher.hexdigest()

    def _read_terms(self, terms: Sequence[Term], start: int, stop: int) -> Iterator[bytes]:
        position = 0  # of the current chunk in the file
        held: list[bytes] = []
        held_size = 0
        for term in terms:
            if position >= stop:
                break
            if position + term.size <= start:
                position += term.size
                continue
            xorb = hashing.to_hex(term.xorb)
            with self.path(xorb).open("rb") as file:
                for chunk in self.table(xorb)[term.start : term.stop]:
                    if position >= stop:
                        break
                    if position + chunk.size > start:
                        file.seek(chunk.offset)
                        packed, scheme, size = formats.parse_header(file.read(CHUNK_HEADER))
                        data = formats.unpack_chunk(scheme, file.read(packed), size)
                        data = data[max(0, start - position) : stop - position]
                        held.append(data)
                        held_size += len(data)
                        if held_size >= limits.READ_CHUNK:
                            yield b"".join(held)
                            held, held_size = [], 0
                    position += chunk.size
        if held:
            yield b"".join(held)
