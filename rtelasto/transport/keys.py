"""A folder of CURVE keys: this machine's own pair, those of its clients, and those of its servers.

::

    FOLDER/own.key_secret     this machine's pair; never leaves it
    FOLDER/own.key            its public half, to copy to the others
    FOLDER/clients/NAME.key   public keys of those who may connect to what this machine binds
    FOLDER/servers/HOST.key   public key of the machine HOST that this one connects to

The files are ZeroMQ certificates (ZPL), as ``zmq.auth`` writes them. docs/security.md explains what they
protect against and what they do not.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import struct
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.auth import create_certificates, load_certificate
from zmq.utils import z85

from rtelasto.errors import RtelastoError
from rtelasto.transport.endpoints import host_of

CLIENTS = "clients"
SERVERS = "servers"

_LARGEST_FILE_BYTES = 16384
_KEY_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeyFolder:
    """An opened key folder whose permissions have been checked.

    Attributes
    ----------
    path
        The folder.
    public, secret
        This machine's pair, 40 characters of Z85 each.
    """

    path: Path
    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def open(cls, path: Path) -> KeyFolder:
        """Read the own pair.

        Raises
        ------
        RtelastoError
            If there is none, it is corrupt, or others than the owner can access it.
        """
        path = path.expanduser()
        own = path / "own.key_secret"
        if not own.is_file():
            raise RtelastoError(f"{path} holds no keys: make them with `rtelasto keys {path}`")
        for place, others_may in ((path, 0), (own, 0)):
            _check_permissions(place, others_may)
        for name in (CLIENTS, SERVERS):
            if (path / name).exists():
                _check_permissions(path / name, 0o055)
        public, secret = _read(own)
        try:
            pair_fits = secret is not None and zmq.curve_public(secret) == public
        except (ValueError, zmq.ZMQError):
            pair_fits = False
        if not pair_fits or secret is None:
            raise RtelastoError(
                f"{own} holds no pair of keys: delete it and make a new one with `rtelasto keys {path}`"
            )
        return cls(path, public, secret)

    @classmethod
    def make(cls, path: Path) -> KeyFolder:
        """Open ``path``, with a new pair if there is none in it."""
        path = path.expanduser()
        try:
            # Before any key is in it, so that the files below are never accessible to others.
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (path / "own.key_secret").exists():
                _check_permissions(path, 0)
                _, secret = create_certificates(path, "own")
                os.chmod(secret, 0o600)
                os.chmod(path / "own.key", 0o644)
            for name in (CLIENTS, SERVERS):
                (path / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise RtelastoError(f"cannot make keys in {path}: {error.strerror or error}") from error
        return cls.open(path)

    def server_key(self, endpoint: str) -> bytes:
        """The key that the server bound to ``endpoint`` must have.

        It is the one in servers/HOST_PORT.key, else in servers/HOST.key. Without either file, the server
        must hold the same own pair: it is this machine, or one with a copy of the folder.
        """
        host, port = host_of(endpoint)
        for name in (f"{host}_{port}", host):
            known = self.path / SERVERS / f"{_file_name(name)}.key"
            if known.is_file():
                _check_permissions(known, 0o044)
                return _read(known)[0]
        return self.public

    def allows(self, client: bytes) -> bool:
        """Whether ``client`` (a public key in Z85) may connect: its own key, and those in clients/ now.

        A file that cannot be trusted or read allows no client, and is logged.
        """
        if client == self.public:
            return True
        for known in sorted((self.path / CLIENTS).glob("*.key")):
            try:
                _check_permissions(known, 0o044)
                if _read(known)[0] == client:
                    return True
            except RtelastoError as error:
                log.warning("%s", error)
        return False

    def allow(self, file: Path) -> Path:
        """Let the holder of the public key in ``file`` connect; return the file that was written."""
        public = _public_only(file)
        # Every machine's own key is called own.key, so that name would not distinguish them.
        name = file.stem if file.stem != "own" else hashlib.sha256(public).hexdigest()[:12]
        return self._keep(CLIENTS, name, public)

    def trust(self, host: str, file: Path) -> Path:
        """Expect ``host`` (or HOST:PORT) to hold the public key in ``file``; return the file written."""
        return self._keep(SERVERS, host.replace(":", "_"), _public_only(file))

    def _keep(self, folder: str, name: str, public: bytes) -> Path:
        path = self.path / folder / f"{_file_name(name)}.key"
        if path.exists():
            if _read(path)[0] == public:
                return path
            raise RtelastoError(
                f"{path} holds another key: delete it first if that is no longer good"
            )
        text = f'#   public key of {path.stem}\nmetadata\ncurve\n    public-key = "{public.decode()}"\n'
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(text)
        except OSError as error:
            raise RtelastoError(f"cannot write {path}: {error.strerror or error}") from error
        return path


def _file_name(name: str) -> str:
    """``name`` as the stem of a file, the colons and the zone's % of IPv6 replaced."""
    name = name.removeprefix("[").replace("]", "").replace(":", "_").replace("%", "_").lower()
    if not _NAME.fullmatch(name):
        raise RtelastoError(
            f"{name!r} cannot name a key: give letters, digits, '.', '-' or '_' (a host, a file)"
        )
    return name


def _public_only(file: Path) -> bytes:
    public, secret = _read(file)
    if secret is not None:
        raise RtelastoError(
            f"{file} holds a secret key, which must not travel: carry own.key instead"
        )
    return public


def _read(file: Path) -> tuple[bytes, bytes | None]:
    """Public and, where there is one, secret key in ``file``, both validated."""
    try:
        size = file.stat().st_size
        if size > _LARGEST_FILE_BYTES:
            raise RtelastoError(f"{file} has {size} bytes: that is no key file")
        public, secret = load_certificate(file)
    except OSError as error:
        raise RtelastoError(f"cannot read the key {file}: {error.strerror or error}") from error
    except ValueError:
        raise RtelastoError(f"{file} holds no public key: give another machine's own.key") from None
    for key in (public, secret):
        if key is not None and not _is_key(key):
            raise RtelastoError(f"{file} holds no CURVE key of 40 characters in Z85")
    return public, secret


def _is_key(key: bytes) -> bool:
    try:
        return len(z85.decode(key)) == _KEY_BYTES and z85.encode(z85.decode(key)) == key
    except (
        ValueError,
        KeyError,
        struct.error,
    ):  # wrong length, a character outside Z85, above 2**32
        return False


def _check_permissions(path: Path, others_may: int) -> None:
    """Raise RtelastoError unless this user owns ``path`` and group and others have no rights on it
    beyond ``others_may``. Windows has no such bits, so nothing is checked there."""
    if os.name == "nt":
        return
    try:
        found = path.stat()
    except OSError as error:
        raise RtelastoError(f"cannot read the key {path}: {error.strerror or error}") from error
    if found.st_uid != os.geteuid():
        raise RtelastoError(
            f"{path} belongs to another user (id {found.st_uid}): keys must be your own, "
            f"chown {os.geteuid()} {path}"
        )
    if stat.S_IMODE(found.st_mode) & 0o077 & ~others_may:
        wanted = "go-rwx" if others_may == 0 else "go-w"
        raise RtelastoError(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}): "
            f"chmod {wanted} {path}"
        )
