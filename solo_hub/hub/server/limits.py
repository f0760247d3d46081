"""Bounds on what one request may make the server hold, read or parse."""

MEBI = 1024 * 1024

MAX_JSON_BODY = 16 * MEBI  # preupload sends 256 files with a 512-byte sample each: far below
MAX_COMMIT_BODY = 1024 * MEBI  # spooled to disk, never held; clients cap regular content at 100 MB per commit
MAX_COMMIT_LINE = 96 * MEBI  # one regular file in base64; what is bigger belongs to LFS
MAX_COMMIT_OPERATIONS = 50_000
MAX_BLOB = 50 * 1024 * MEBI  # one LFS object
MAX_XORB = 66 * MEBI  # the protocol's own bound is 64 MiB of chunks, plus a footer
MAX_XORB_CHUNKS = 8 * 1024
MAX_CHUNK = 4 * MEBI  # the chunker of the client cuts at 128 KiB; generous, yet small enough to hold
MAX_SHARD = 64 * MEBI
MAX_PATH = 1024  # bytes of a file path inside a repo
MAX_PATH_PART = 255
MAX_PATHS_INFO = 50_000
MAX_TITLE = 10_000
MAX_MESSAGE = 1 * MEBI
MAX_YAML = 1 * MEBI  # front matter of one card
MAX_QUERY_ITEMS = 1_000
MULTIPART_FROM = 512 * MEBI  # single PUT below, parts from here on
MULTIPART_PART = 64 * MEBI
SMALL_BLOB = 64 * 1024  # at most this many bytes live in the database, in the commit's own transaction
READ_CHUNK = 1 * MEBI
