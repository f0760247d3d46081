"""Xet: hashes as the official library computes them, formats, and refusal of whatever is not true."""

from __future__ import annotations

import struct

import lz4.frame
import pytest

from solo_hub.hub.server.errors import ApiError
from solo_hub.hub.server.routes.xet import _places
from solo_hub.hub.server.xet import formats, hashing


def test_hash_is_printed_as_four_little_endian_numbers():
    raw = bytes(range(32))
    assert hashing.to_hex(raw).startswith("0706050403020100" + "0f0e0d0c0b0a0908")
    assert hashing.from_hex(hashing.to_hex(raw)) == raw


@pytest.mark.parametrize("size", [1, 5_000, 200_000, 3_000_000])
def test_file_hash_is_the_one_of_the_official_library(server, repo, client, size):
    """Upload by the real client, then compare the name it gave the file with `hf_xet.hash_files`."""
    out = client(
        f"""
import random
from huggingface_hub import HfApi
import hf_xet
random.seed(0); open("f.bin", "wb").write(random.randbytes({size}))
HfApi().upload_file(path_or_fileobj="f.bin", path_in_repo="f.bin", repo_id="{repo}")
print(hf_xet.hash_files(["f.bin"])[0].hash)
"""
    )
    (item,) = [each for each in server("GET", f"/api/models/{repo}/tree/main").json if each["path"] == "f.bin"]
    assert item["xetHash"] == out.split()[-1]


@pytest.mark.parametrize("block", [131_072, 50_000])
def test_a_file_that_repeats_itself_comes_back_by_the_real_client(repo, client, block):
    """Its pieces are one chunk again and again, and at the end that chunk with the next: ranges that overlap."""
    client(
        f"""
import random
from huggingface_hub import HfApi, hf_hub_download
random.seed(0); content = random.randbytes({block}) * 8 + b"the end" * 1000 + bytes(range(256)) * 4000
HfApi().upload_file(path_or_fileobj=content, path_in_repo="f.bin", repo_id="{repo}")
assert open(hf_hub_download("{repo}", "f.bin"), "rb").read() == content
"""
    )


@pytest.mark.parametrize(
    ("terms", "places"),
    [
        ([], []),
        ([("a", 0, 1), ("a", 0, 1), ("a", 0, 2)], [("a", 0, 2)]),
        ([("a", 3, 5), ("b", 0, 4), ("a", 0, 3)], [("a", 0, 3), ("a", 3, 5), ("b", 0, 4)]),
        ([("a", 0, 9), ("a", 2, 3), ("a", 8, 10), ("b", 9, 11)], [("a", 0, 10), ("b", 9, 11)]),
    ],
)
def test_what_is_fetched_does_not_overlap(terms, places):
    def name(letter):
        return letter.encode() * 32

    found = _places([formats.Term(name(xorb), start, stop, 1) for xorb, start, stop in terms])
    assert found == [(hashing.to_hex(name(xorb)), start, stop) for xorb, start, stop in places]


def test_grouped_bytes_are_put_back():
    """10 bytes in four groups by position modulo 4: 0 4 8 | 1 5 9 | 2 6 | 3 7."""
    grouped = bytes([0, 4, 8, 1, 5, 9, 2, 6, 3, 7])
    assert formats.unpack_chunk(2, lz4.frame.compress(grouped), 10) == bytes(range(10))


@pytest.mark.parametrize(
    ("scheme", "packed", "size"),
    [(0, b"abc", 4), (1, b"not a frame", 3), (1, lz4.frame.compress(bytes(10_000_000)), 100), (9, b"abc", 3)],
)
def test_bad_chunks_are_refused(scheme, packed, size):
    with pytest.raises(ApiError) as caught:
        formats.unpack_chunk(scheme, packed, size)
    assert caught.value.status == 400


def shard(*records: bytes) -> bytes:
    head = b"HFRepoMetaData\0".ljust(32, b"\0") + struct.pack("<QQ", 2, 0)
    return head + b"".join(records) + b"\xff" * 32 + bytes(16)


def test_shard_that_announces_too_much_is_refused():
    with pytest.raises(ApiError, match="more records than it has"):
        formats.parse_shard(shard(bytes(32) + struct.pack("<IIQ", 0, 2**32 - 1, 0)))


def test_shard_round_trip():
    term = bytes([7]) * 32 + struct.pack("<IIII", 0, 1000, 2, 5)
    (file,) = formats.parse_shard(shard(bytes([9]) * 32 + struct.pack("<IIQ", 0, 1, 0), term))
    assert file.hash == bytes([9]) * 32
    assert file.terms == (formats.Term(bytes([7]) * 32, 2, 5, 1000),)
    assert file.sha256 is None


def tickets(server, repo):
    write = server("GET", f"/api/models/{repo}/xet-write-token/main").json
    read = server("GET", f"/api/models/{repo}/xet-read-token/main").json
    return write["casUrl"].removeprefix(server.endpoint), write["accessToken"], read["accessToken"]


def chunk_bytes(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(3, "little") + b"\0" + len(data).to_bytes(3, "little") + data


def test_server_believes_no_hash(server, repo):
    cas, write, read = tickets(server, repo)
    data = b"some data"
    chunk = hashing.chunk_hash(data)
    xorb = hashing.to_hex(hashing.xorb_hash([(chunk, len(data))]))
    put = f"{cas}/v1/xorbs/default/"
    assert server("POST", put + xorb, token=None, body=chunk_bytes(data)).status == 401
    assert server("POST", put + xorb, token=read, body=chunk_bytes(data)).status == 403
    assert server("POST", put + xorb, token=write, body=chunk_bytes(b"other data")).status == 400
    assert server("POST", put + xorb, token=write, body=chunk_bytes(data)).json == {"was_inserted": True}
    assert server("POST", put + xorb, token=write, body=chunk_bytes(data)).json == {"was_inserted": False}

    file = hashing.file_hash([(chunk, len(data))])

    honest = hashing.range_hash([chunk])

    def describe(*, name=file, size=9, stop=1, proof=honest, sha=b"") -> int:
        flags = (1 << 31 if proof else 0) | (1 << 30 if sha else 0)
        records = [name + struct.pack("<IIQ", flags, 1, 0)]
        records.append(hashing.from_hex(xorb) + struct.pack("<IIII", 0, size, 0, stop))
        records += [(proof + bytes(16)) if proof else b"", (sha + bytes(16)) if sha else b""]
        return server("POST", f"{cas}/v1/shards", token=write, body=shard(*records)).status

    assert describe(name=bytes(32)) == 400
    assert describe(size=8) == 400
    assert describe(stop=2) == 400
    assert describe(proof=bytes([1]) * 32) == 400
    assert describe(sha=bytes([1]) * 32) == 400
    assert describe(proof=b"") == 400
    assert describe() == 200
    assert describe() == 200
    assert describe(proof=bytes([1]) * 32) == 400  # known by now, and still to be proven
    name = hashing.to_hex(file)
    found = server("GET", f"{cas}/v1/reconstructions/{name}", token=read).json
    (place,) = found["fetch_info"][xorb]
    where = place["url"].removeprefix(server.endpoint)
    wanted = f"bytes={place['url_range']['start']}-{place['url_range']['end']}"
    assert server("GET", where, token=None, headers={"Range": wanted}).body == chunk_bytes(data)


def test_files_of_another_repo_are_not_found(server, repo):
    server("POST", "/api/repos/create", token="token-of-ben", body={"name": "other", "private": True})
    cas, write, _ = tickets(server, repo)
    data = b"private data"
    chunk = hashing.chunk_hash(data)
    xorb = hashing.xorb_hash([(chunk, len(data))])
    file = hashing.file_hash([(chunk, len(data))])
    server("POST", f"{cas}/v1/xorbs/default/{hashing.to_hex(xorb)}", token=write, body=chunk_bytes(data))
    term = xorb + struct.pack("<IIII", 0, len(data), 0, 1)
    body = shard(file + struct.pack("<IIQ", 1 << 31, 1, 0), term, hashing.range_hash([chunk]) + bytes(16))
    assert server("POST", f"{cas}/v1/shards", token=write, body=body).status == 200
    theirs = server("GET", "/api/models/ben/other/xet-read-token/main", token="token-of-ben").json["accessToken"]
    assert server("GET", f"{cas}/v1/reconstructions/{hashing.to_hex(file)}", token=theirs).status == 404
