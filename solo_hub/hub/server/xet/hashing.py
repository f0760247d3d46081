"""The hashes of Xet.

Source: the Xet protocol specification, https://huggingface.co/docs/xet/hashing. Chunks are named by keyed BLAKE3;
xorbs and files by a Merkle tree over ``(chunk hash, chunk size)`` whose shape the hashes themselves decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blake3 import blake3

if TYPE_CHECKING:
    from collections.abc import Sequence

HASH_BYTES = 32

# Domain separation keys, fixed by the specification.
_CHUNK_KEY = bytes([
    102, 151, 245, 119, 91, 149, 80, 222, 49, 53, 203, 172, 165, 151, 24, 28,
    157, 228, 33, 16, 155, 235, 43, 88, 180, 208, 176, 75, 147, 173, 242, 41,
])  # fmt: skip
_NODE_KEY = bytes([
    1, 126, 197, 199, 165, 71, 41, 150, 253, 148, 102, 102, 180, 138, 2, 230,
    93, 221, 83, 111, 55, 199, 109, 210, 248, 99, 82, 230, 74, 83, 113, 63,
])  # fmt: skip
_VERIFICATION_KEY = bytes([
    127, 24, 87, 214, 206, 86, 237, 102, 18, 127, 249, 19, 231, 165, 195, 243,
    164, 205, 38, 213, 181, 219, 73, 230, 65, 36, 152, 127, 40, 251, 148, 195,
])  # fmt: skip
_FILE_KEY = bytes(32)

_BRANCHING = 4  # mean children of a node
_MIN_CHILDREN = 2
_MAX_CHILDREN = 2 * _BRANCHING + 1

Node = tuple[bytes, int]


def to_hex(raw: bytes) -> str:
    """Print a hash as Xet does: four little-endian 64-bit numbers."""
    return "".join(raw[i : i + 8][::-1].hex() for i in range(0, HASH_BYTES, 8))


def from_hex(text: str) -> bytes:
    """Inverse of `to_hex`."""
    raw = bytes.fromhex(text)
    return b"".join(raw[i : i + 8][::-1] for i in range(0, HASH_BYTES, 8))


def chunk_hash(data: bytes) -> bytes:
    """Name of a chunk."""
    return blake3(data, key=_CHUNK_KEY).digest()


def range_hash(chunks: Sequence[bytes]) -> bytes:
    """Proof that whoever lists a chunk range knows the hashes of its chunks."""
    return blake3(b"".join(chunks), key=_VERIFICATION_KEY).digest()


def xorb_hash(chunks: Sequence[Node]) -> bytes:
    """Name of a xorb: root of the tree over its chunks."""
    if not chunks:
        return bytes(HASH_BYTES)
    nodes = list(chunks)
    while len(nodes) > 1:
        parents: list[Node] = []
        start = 0
        while start < len(nodes):
            stop = start + _cut(nodes, start)
            parents.append(_merge(nodes[start:stop]))
            start = stop
        nodes = parents
    return nodes[0][0]


def file_hash(chunks: Sequence[Node]) -> bytes:
    """Name of a file: its root, salted, so that a file of one xorb has another name than the xorb."""
    if not chunks:
        return bytes(HASH_BYTES)
    return blake3(xorb_hash(chunks), key=_FILE_KEY).digest()


def _cut(nodes: Sequence[Node], start: int) -> int:
    """How many nodes from ``start`` get one parent: up to the first hash divisible by 4, within bounds."""
    left = len(nodes) - start
    if left <= _MIN_CHILDREN:
        return left
    most = min(_MAX_CHILDREN, left)
    for count in range(_MIN_CHILDREN, most):
        if int.from_bytes(nodes[start + count][0][24:], "little") % _BRANCHING == 0:
            return count + 1
    return most


def _merge(children: Sequence[Node]) -> Node:
    text = "".join(f"{to_hex(raw)} : {size}\n" for raw, size in children)
    return blake3(text.encode(), key=_NODE_KEY).digest(), sum(size for _, size in children)
