"""The two binary formats a Xet client uploads, parsed with every count and length checked before it is believed.

Source: https://huggingface.co/docs/xet/xorb and https://huggingface.co/docs/xet/shard. A xorb is a run of compressed
chunks, each behind an 8-byte header; a shard is a run of 48-byte records that tell which chunk ranges make up a file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import lz4.frame

from solo_hub.hub.server import limits
from solo_hub.hub.server.errors import bad_request
from solo_hub.hub.server.xet.hashing import HASH_BYTES, chunk_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_HEADER = 8
_NONE, _LZ4, _GROUPED_LZ4 = 0, 1, 2
_FOOTER_MARK = b"XETBLOB"

_RECORD = 48
_END = b"\xff" * HASH_BYTES
_SHARD_TAG = b"HFRepoMetaData\x00"
_SHARD_VERSION = 2
_HAS_VERIFICATION = 1 << 31
_HAS_METADATA = 1 << 30


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a xorb: its name, where its header starts in the file, and its size when unpacked."""

    hash: bytes
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Term:
    """A run of chunks of one xorb, ``[start, stop)``, that unpacks to ``size`` bytes."""

    xorb: bytes
    start: int
    stop: int
    size: int


@dataclass(frozen=True, slots=True)
class ShardFile:
    """A file as a shard describes it; nothing here is verified yet."""

    hash: bytes
    terms: tuple[Term, ...]
    proofs: tuple[bytes, ...]
    sha256: str | None


def unpack_chunk(scheme: int, packed: bytes, size: int) -> bytes:
    """The content of a chunk.

    Args:
        scheme: 0 stored, 1 LZ4 frame, 2 LZ4 frame over bytes grouped by their position modulo 4.
        packed: What follows the header.
        size: Bytes it must unpack to.

    Raises:
        ApiError: 400 when it does not.
    """
    if scheme == _NONE:
        data = packed
    elif scheme in (_LZ4, _GROUPED_LZ4):
        try:
            # Bounded, or a frame of a few bytes could unpack to gigabytes.
            data = lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
        except (RuntimeError, ValueError, EOFError) as error:
            raise bad_request("Malformed xorb: a chunk is not a valid LZ4 frame.") from error
    else:
        raise bad_request(f"Malformed xorb: unknown compression scheme {scheme}.")
    if len(data) != size:
        raise bad_request("Malformed xorb: a chunk does not unpack to its announced size.")
    return _ungroup(data) if scheme == _GROUPED_LZ4 else data


def _ungroup(data: bytes) -> bytes:
    """Undo the grouping of every 4th byte (which makes floats compress better)."""
    out = bytearray(len(data))
    start = 0
    for position in range(4):
        count = (len(data) - position + 3) // 4
        out[position::4] = data[start : start + count]
        start += count
    return bytes(out)


def parse_header(header: bytes) -> tuple[int, int, int]:
    """Packed size, scheme and unpacked size of a chunk header.

    Raises:
        ApiError: 400 for another version or sizes out of bounds.
    """
    version, scheme = header[0], header[4]
    packed, size = int.from_bytes(header[1:4], "little"), int.from_bytes(header[5:8], "little")
    if version != 0:
        raise bad_request(f"Malformed xorb: unknown chunk version {version}.")
    if not 0 < size <= limits.MAX_CHUNK or not 0 < packed <= limits.MAX_CHUNK + 1024:
        raise bad_request("Malformed xorb: a chunk's size is out of bounds.")
    return packed, scheme, size


def read_xorb(file: BinaryIO) -> Iterator[Chunk]:
    """Unpack and hash every chunk of a xorb, holding one at a time; a footer ends the run.

    Raises:
        ApiError: 400 for anything that is not a xorb.
    """
    offset = count = 0
    while True:
        header = file.read(CHUNK_HEADER)
        if not header or header[:7] == _FOOTER_MARK:
            break
        if len(header) < CHUNK_HEADER:
            raise bad_request("Malformed xorb: it ends inside a chunk header.")
        packed_size, scheme, size = parse_header(header)
        packed = file.read(packed_size)
        if len(packed) != packed_size:
            raise bad_request("Malformed xorb: it ends inside a chunk.")
        count += 1
        if count > limits.MAX_XORB_CHUNKS:
            raise bad_request(f"Malformed xorb: more than {limits.MAX_XORB_CHUNKS} chunks.")
        yield Chunk(chunk_hash(unpack_chunk(scheme, packed, size)), offset, size)
        offset += CHUNK_HEADER + packed_size
    if count == 0:
        raise bad_request("Malformed xorb: it has no chunks.")


def parse_shard(data: bytes) -> list[ShardFile]:
    """The files a shard describes.

    Its second half lists the chunks of xorbs; the server knows those from the xorbs themselves and does not read it.

    Raises:
        ApiError: 400 for anything that is not a shard.
    """
    if len(data) < _RECORD or not data.startswith(_SHARD_TAG):
        raise bad_request("Malformed shard: its header is missing.")
    (version,) = struct.unpack_from("<Q", data, HASH_BYTES)
    if version != _SHARD_VERSION:
        raise bad_request(f"Malformed shard: unknown version {version}.")
    files: list[ShardFile] = []
    at = _RECORD
    while True:
        record = _record(data, at)
        at += _RECORD
        if record[:HASH_BYTES] == _END:
            return files
        file, at = _parse_file(data, record, at)
        files.append(file)


def _parse_file(data: bytes, head: bytes, at: int) -> tuple[ShardFile, int]:
    flags, count = struct.unpack_from("<II", head, HASH_BYTES)
    records = count * (2 if flags & _HAS_VERIFICATION else 1) + (1 if flags & _HAS_METADATA else 0)
    if records * _RECORD > len(data) - at:  # before any list of that length is made
        raise bad_request("Malformed shard: it announces more records than it has.")
    terms, proofs = [], []
    for _ in range(count):
        record = _record(data, at)
        _, size, start, stop = struct.unpack_from("<IIII", record, HASH_BYTES)
        if start >= stop:
            raise bad_request("Malformed shard: a term has no chunks.")
        terms.append(Term(record[:HASH_BYTES], start, stop, size))
        at += _RECORD
    if flags & _HAS_VERIFICATION:
        for _ in range(count):
            proofs.append(_record(data, at)[:HASH_BYTES])
            at += _RECORD
    sha256 = None
    if flags & _HAS_METADATA:
        raw = _record(data, at)[:HASH_BYTES]
        # Written as a Xet hash, hence with the bytes of each 64-bit number turned round; zeros say "not computed".
        sha256 = b"".join(raw[i : i + 8][::-1] for i in range(0, HASH_BYTES, 8)).hex() if any(raw) else None
        at += _RECORD
    return ShardFile(head[:HASH_BYTES], tuple(terms), tuple(proofs), sha256), at


def _record(data: bytes, at: int) -> bytes:
    record = data[at : at + _RECORD]
    if len(record) < _RECORD:
        raise bad_request("Malformed shard: it ends inside a record.")
    return record
