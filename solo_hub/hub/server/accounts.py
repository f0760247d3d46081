"""Users, organisations and tokens.

Only a salted digest of a token is stored. Looking one up costs one scrypt over the token with the root's salt, then a
constant-time comparison with every stored digest; the answer is remembered in memory under a keyed hash, so a client
pays once.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from solo_hub.hub.server import names
from solo_hub.hub.server.errors import ApiError, bad_request, conflict

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from solo_hub.hub.server.db import Database

Role = Literal["read", "write"]

REMEMBERED = 4096  # tokens, valid or not, whose answer is kept in memory
MAX_TOKEN = 512


@dataclass(frozen=True, slots=True)
class User:
    """Who sends a request.

    Attributes:
        id: Row id of the account.
        name: The account's name.
        fullname: How the user is called; the name when nothing else is known.
        role: What the token allows.
        token_label: Name of the token, shown by whoami.
        orgs: Names of the organisations the user belongs to.
        private_by_default: Whether new repos are private unless the client says otherwise.
    """

    id: int
    name: str
    fullname: str
    role: Role
    token_label: str
    orgs: tuple[str, ...]
    private_by_default: bool

    def belongs_to(self, namespace: str) -> bool:
        """Whether repos of the namespace are the user's own or their organisation's."""
        wanted = namespace.lower()
        return wanted == self.name.lower() or any(wanted == org.lower() for org in self.orgs)


class Accounts:
    """The accounts of one root."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._salt = bytes.fromhex(self._meta("token_salt", lambda: secrets.token_hex(16)))
        self._remember_key = secrets.token_bytes(32)
        self._remembered: dict[bytes, tuple[str, User | None]] = {}
        self._lock = threading.Lock()

    def _meta(self, key: str, make: object) -> str:
        with self._db.write() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return str(row["value"])
            value = str(make())  # type: ignore[operator]
            connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value))
            return value

    def add_user(
        self,
        name: str,
        *,
        token: str | None = None,
        role: Role = "write",
        orgs: Iterable[str | Mapping[str, str]] = (),
        private_by_default: bool | None = None,
        fullname: str | None = None,
    ) -> str | None:
        """Make a user, or bring an existing one to what is asked, and return the token if one was set.

        A user that exists keeps its tokens; a token given is added to them. An organisation is a name, or a mapping
        with `name` and `fullname`.

        Raises:
            ApiError: 400 for a name or token that cannot be, 409 when the name is an organisation's or the token
                another user's.
        """
        name = names.check_account_name(name)
        if role not in ("read", "write"):
            raise bad_request("Invalid role: 'read' or 'write' expected.")
        with self._db.write() as connection:
            row = connection.execute("SELECT id, kind FROM accounts WHERE name = ?", (name,)).fetchone()
            if row is not None and row["kind"] != "user":
                raise conflict(f"'{name}' is an organisation.")
            if row is None:
                cursor = connection.execute(
                    "INSERT INTO accounts (name, kind, private_by_default, created_at) VALUES (?, 'user', ?, ?)",
                    (name, int(bool(private_by_default)), time.time()),
                )
                user_id = cursor.lastrowid
            else:
                user_id = row["id"]
                if private_by_default is not None:
                    connection.execute(
                        "UPDATE accounts SET private_by_default = ? WHERE id = ?", (int(private_by_default), user_id)
                    )
            if fullname is not None:
                connection.execute("UPDATE accounts SET fullname = ? WHERE id = ?", (fullname, user_id))
            for org in orgs:
                connection.execute(
                    "INSERT OR IGNORE INTO memberships (user_id, org_id) VALUES (?, ?)", (user_id, self._org(org))
                )
            if token is not None:
                self._set_token(int(user_id or 0), token, role)
            self._changed(connection)
        return token

    def make_token(self, name: str, *, role: Role = "write", label: str = "made by the server") -> str:
        """Make a token for an existing user; this is the only moment it is known."""
        row = self._db.one("SELECT id FROM accounts WHERE name = ? AND kind = 'user'", (name,))
        if row is None:
            raise bad_request(f"No user '{name}'.")
        token = "hf_" + secrets.token_urlsafe(32)
        self._set_token(row["id"], token, role, label)
        return token

    def _set_token(self, user_id: int, token: str, role: Role, label: str = "given") -> None:
        if not token or len(token) > MAX_TOKEN or not token.isascii() or any(c.isspace() for c in token):
            raise bad_request("Invalid token: 1 to 512 ASCII characters without blanks expected.")
        digest = self._digest(token)
        with self._db.write() as connection:
            row = connection.execute("SELECT user_id FROM tokens WHERE digest = ?", (digest,)).fetchone()
            if row is not None and row["user_id"] != user_id:
                raise conflict("This token belongs to another user.")
            connection.execute(
                "INSERT INTO tokens (user_id, digest, role, label, created_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (digest) DO UPDATE SET role = excluded.role",
                (user_id, digest, role, label, time.time()),
            )
            self._changed(connection)

    @staticmethod
    def _changed(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('accounts_version', ?)"
            " ON CONFLICT DO UPDATE SET value = excluded.value",
            (secrets.token_hex(8),),
        )

    def _org(self, org: str | Mapping[str, str]) -> int:
        described = {"name": org} if isinstance(org, str) else dict(org)
        if set(described) - {"name", "fullname"}:
            raise bad_request("Invalid organisation: a name, or a mapping with 'name' and 'fullname' expected.")
        name = names.check_account_name(described.get("name"))
        with self._db.write() as connection:
            row = connection.execute("SELECT id, kind FROM accounts WHERE name = ?", (name,)).fetchone()
            if row is not None and row["kind"] != "org":
                raise conflict(f"'{name}' is a user, not an organisation.")
            if row is None:
                cursor = connection.execute(
                    "INSERT INTO accounts (name, kind, created_at) VALUES (?, 'org', ?)", (name, time.time())
                )
                made = int(cursor.lastrowid or 0)
            else:
                made = int(row["id"])
            if "fullname" in described:
                connection.execute("UPDATE accounts SET fullname = ? WHERE id = ?", (described["fullname"], made))
            return made

    def authenticate(self, token: str) -> User | None:
        """The user of a token, or None when nobody has it."""
        if not token or len(token) > MAX_TOKEN:
            return None
        mark = hmac.digest(self._remember_key, token.encode("utf-8", "replace"), "sha256")
        row = self._db.one("SELECT value FROM meta WHERE key = 'accounts_version'")
        version = str(row["value"]) if row else ""
        with self._lock:
            known = self._remembered.get(mark)
        if known is not None and known[0] == version:  # nothing changed since, by whatever process
            return known[1]
        digest = self._digest(token)
        found = None
        for row in self._db.all("SELECT id, digest FROM tokens"):
            if hmac.compare_digest(row["digest"], digest):  # no early exit: time tells nothing about the position
                found = row["id"]
        user = self._user_of_token(found) if found is not None else None
        with self._lock:
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[mark] = (version, user)
        return user

    def _user_of_token(self, token_id: int) -> User | None:
        row = self._db.one(
            "SELECT a.id, a.name, a.fullname, a.private_by_default, t.role, t.label FROM tokens t"
            " JOIN accounts a ON a.id = t.user_id WHERE t.id = ?",
            (token_id,),
        )
        if row is None:
            return None
        return User(
            row["id"],
            row["name"],
            row["fullname"] or row["name"],
            row["role"],
            row["label"],
            self.orgs_of(row["id"]),
            bool(row["private_by_default"]),
        )

    def orgs_of(self, user_id: int) -> tuple[str, ...]:
        """Names of a user's organisations."""
        rows = self._db.all(
            "SELECT a.name FROM memberships m JOIN accounts a ON a.id = m.org_id WHERE m.user_id = ? ORDER BY a.name",
            (user_id,),
        )
        return tuple(row["name"] for row in rows)

    def fullname(self, name: str) -> str:
        """How a user or organisation is called; its name when nothing else is known."""
        row = self._db.one("SELECT name, fullname FROM accounts WHERE name = ?", (name,))
        return (row["fullname"] or row["name"]) if row else name

    def kind(self, name: str) -> str | None:
        """'user', 'org', or None when nobody has the name."""
        row = self._db.one("SELECT kind FROM accounts WHERE name = ?", (name,))
        return row["kind"] if row else None

    def users(self) -> Sequence[str]:
        """Names of all users, the first made first."""
        return [row["name"] for row in self._db.all("SELECT name FROM accounts WHERE kind = 'user' ORDER BY id")]

    def _digest(self, token: str) -> bytes:
        # Cheap by scrypt's standards: tokens made here have 256 bits, the cost only slows guessing at given ones.
        return hashlib.scrypt(token.encode("utf-8", "replace"), salt=self._salt, n=2**11, r=8, p=1, dklen=32)


class Signer:
    """Signs the URLs and tokens handed to clients that send no Authorization header with them."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, *fields: str | int, seconds: float) -> str:
        """A ticket carrying the fields, valid for some seconds; fields must not contain ``.``."""
        body = ".".join(str(field) for field in (*fields, int(time.time() + seconds)))
        return f"{body}.{self._mac(body)}"

    def check(self, ticket: str, purpose: str, fields: int) -> list[str]:
        """The fields of a valid ticket whose first field is ``purpose``.

        Raises:
            ApiError: 401 when it was not signed here, 403 when it is out of date.
        """
        body, _, mac = ticket.rpartition(".")
        parts = body.split(".")
        if not hmac.compare_digest(self._mac(body).encode(), mac.encode("utf-8", "replace")):
            raise ApiError(401, "Invalid or missing signature")
        if len(parts) != fields + 2 or parts[0] != purpose:
            raise ApiError(401, "The signature is for something else")
        if int(parts[-1]) < time.time():
            raise ApiError(403, "The signature is out of date")
        return parts[1:-1]

    def _mac(self, body: str) -> str:
        return hmac.new(self._key, body.encode("utf-8", "replace"), "sha256").hexdigest()
