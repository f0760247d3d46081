-- Metadata of the embedded Hub. Hashes are lower-case hex, times are seconds since 1970 (UTC).

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- Users and organisations share one name space, because both can own repos.
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    fullname TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('user', 'org')),
    private_by_default INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL
);

CREATE TABLE memberships (
    user_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    org_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, org_id)
) WITHOUT ROWID;

-- Only a salted digest of a token is kept.
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    digest BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('read', 'write')),
    label TEXT NOT NULL DEFAULT '',
    created_at REAL NOT NULL
);

CREATE TABLE repos (
    id INTEGER PRIMARY KEY,
    type TEXT NOT NULL CHECK (type IN ('model', 'dataset', 'space')),
    namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE,
    private INTEGER NOT NULL DEFAULT 0,
    gated TEXT CHECK (gated IN ('auto', 'manual')),
    sdk TEXT,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    downloads INTEGER NOT NULL DEFAULT 0,
    UNIQUE (type, namespace, name)
);

-- Where a repo was before it moved, so that old ids keep working.
CREATE TABLE redirects (
    type TEXT NOT NULL,
    namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE,
    repo_id INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    PRIMARY KEY (type, namespace, name)
) WITHOUT ROWID;

CREATE TABLE access (
    repo_id INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    user_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected')),
    created_at REAL NOT NULL,
    PRIMARY KEY (repo_id, user_id)
) WITHOUT ROWID;

-- A directory listing, stored once however many commits share it.
CREATE TABLE trees (
    key TEXT PRIMARY KEY,
    data BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE commits (
    repo_id INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    oid TEXT NOT NULL,
    parent TEXT,
    tree TEXT NOT NULL,
    title TEXT NOT NULL,
    message TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (repo_id, oid)
) WITHOUT ROWID;

-- kind 'head' is a branch, 'tag' a tag, 'pr' a pull request (name is its number).
CREATE TABLE refs (
    repo_id INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('head', 'tag', 'pr')),
    name TEXT NOT NULL,
    oid TEXT NOT NULL,
    message TEXT,
    created_at REAL NOT NULL,
    PRIMARY KEY (repo_id, kind, name)
) WITHOUT ROWID;

-- place: 'db' (bytes in `data`), 'disk' (file named by its sha256) or 'xet' (put together from chunks).
CREATE TABLE blobs (
    sha256 TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    place TEXT NOT NULL CHECK (place IN ('db', 'disk', 'xet')),
    xet_hash TEXT,
    created_at REAL NOT NULL,
    data BLOB
);

-- Which repos a blob was uploaded to or committed in: knowing a hash is no right to the bytes.
CREATE TABLE repo_blobs (
    repo_id INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (repo_id, sha256)
) WITHOUT ROWID;

CREATE INDEX repo_blobs_by_hash ON repo_blobs (sha256);

CREATE TABLE xorbs (
    hash TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    chunks BLOB NOT NULL,
    created_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE xet_files (
    hash TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    sha256 TEXT,
    terms BLOB NOT NULL,
    created_at REAL NOT NULL
) WITHOUT ROWID;

-- The xorbs a Xet file is made of, for collection of what nothing needs any more.
CREATE TABLE xet_file_xorbs (
    file_hash TEXT NOT NULL REFERENCES xet_files (hash) ON DELETE CASCADE,
    xorb_hash TEXT NOT NULL,
    PRIMARY KEY (file_hash, xorb_hash)
) WITHOUT ROWID;

CREATE INDEX xet_file_xorbs_by_xorb ON xet_file_xorbs (xorb_hash);

CREATE TABLE discussions (
    repo_id INTEGER NOT NULL REFERENCES repos (id) ON DELETE CASCADE,
    num INTEGER NOT NULL,
    title TEXT NOT NULL,
    author TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('draft', 'open', 'closed', 'merged')),
    is_pr INTEGER NOT NULL,
    target TEXT NOT NULL DEFAULT 'main',
    base TEXT,
    merge_oid TEXT,
    created_at REAL NOT NULL,
    PRIMARY KEY (repo_id, num)
) WITHOUT ROWID;

CREATE TABLE discussion_events (
    id INTEGER PRIMARY KEY,
    repo_id INTEGER NOT NULL,
    num INTEGER NOT NULL,
    type TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at REAL NOT NULL,
    data TEXT NOT NULL,
    FOREIGN KEY (repo_id, num) REFERENCES discussions (repo_id, num) ON DELETE CASCADE
);

CREATE TABLE collections (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL COLLATE NOCASE,
    data TEXT NOT NULL,
    updated_at REAL NOT NULL
) WITHOUT ROWID;
