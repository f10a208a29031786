"""The key folder: made, checked, and added to."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import processes
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from rtelasto.errors import RtelastoError
from rtelasto.transport.keys import KeyFolder

posix = pytest.mark.skipif(os.name != "posix", reason="this system has no permission bits")


@pytest.fixture
def here(tmp_path: Path) -> KeyFolder:
    return KeyFolder.make(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> KeyFolder:
    return KeyFolder.make(tmp_path / "there")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_new_keys_are_the_owners_alone_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        keys = KeyFolder.make(tmp_path / "keys")
    finally:
        os.umask(before)
    assert mode(keys.path) == mode(keys.path / "clients") == mode(keys.path / "servers") == 0o700
    assert mode(keys.path / "own.key_secret") == 0o600
    assert zmq.curve_public(keys.secret) == keys.public
    assert keys.secret.decode() not in (keys.path / "own.key").read_text()
    assert keys.secret.decode() not in repr(keys)


def test_making_them_again_keeps_them(here: KeyFolder):
    assert KeyFolder.make(here.path) == here == KeyFolder.open(here.path)


@posix
@pytest.mark.parametrize(
    ("place", "wrong"),
    [(".", 0o750), (".", 0o701), ("own.key_secret", 0o640), ("own.key_secret", 0o602)],
)
def test_keys_that_others_can_get_at_are_refused_with_what_to_do(
    here: KeyFolder, place: str, wrong: int
):
    path = here.path / place
    path.chmod(wrong)
    with pytest.raises(RtelastoError, match=f"chmod go-rwx {path}") as refused:
        KeyFolder.open(here.path)
    assert f"{wrong:04o}" in str(refused.value)
    with pytest.raises(RtelastoError, match="chmod"):
        KeyFolder.make(here.path)


@posix
@pytest.mark.parametrize("place", ["clients", "servers"])
def test_lists_that_others_can_write_are_refused(here: KeyFolder, place: str):
    (here.path / place).chmod(0o770)
    with pytest.raises(RtelastoError, match=f"chmod go-w {here.path / place}"):
        KeyFolder.open(here.path)


@posix
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give files away")
def test_keys_of_another_user_are_refused(here: KeyFolder):
    os.chown(here.path / "own.key_secret", 12345, -1)
    with pytest.raises(RtelastoError, match="belongs to another user"):
        KeyFolder.open(here.path)


@pytest.mark.parametrize(
    "content",
    [b"", b"curve\n", b'    public-key = "short"\n', b"\xff" * 100, b"x" * 20_000],
)
def test_a_damaged_pair_is_refused_in_one_line(here: KeyFolder, content: bytes):
    own = here.path / "own.key_secret"
    own.write_bytes(content)
    with pytest.raises(RtelastoError, match=r"own\.key_secret") as refused:
        KeyFolder.open(here.path)
    assert "\n" not in str(refused.value)


def test_halves_of_two_pairs_are_no_pair(here: KeyFolder, there: KeyFolder):
    own = here.path / "own.key_secret"
    own.write_text(own.read_text().replace(here.public.decode(), there.public.decode()))
    with pytest.raises(RtelastoError, match="holds no pair"):
        KeyFolder.open(here.path)


def test_a_folder_without_keys_names_the_command(tmp_path: Path):
    with pytest.raises(RtelastoError, match=f"rtelasto keys {tmp_path}"):
        KeyFolder.open(tmp_path)


def test_who_may_connect(here: KeyFolder, there: KeyFolder, tmp_path: Path):
    assert here.allows(here.public)
    assert not here.allows(there.public)
    carried = shutil.copy(there.path / "own.key", tmp_path / "tablet.key")
    added = here.allow(Path(carried))
    assert added == here.path / "clients" / "tablet.key"
    assert here.allows(there.public)
    assert here.allow(Path(carried)) == added  # the same again is no fault
    added.unlink()
    assert not here.allows(there.public)
    # Its plain name says nothing: the file is named after the key.
    assert here.allow(there.path / "own.key").stem not in ("own", "tablet")


@posix
def test_a_list_entry_that_others_can_write_lets_nobody_in(here: KeyFolder, there: KeyFolder):
    here.allow(there.path / "own.key").chmod(0o666)
    assert not here.allows(there.public)
    assert here.allows(here.public)


def test_a_secret_does_not_travel_and_a_name_is_not_taken_over(
    here: KeyFolder, there: KeyFolder, tmp_path: Path
):
    with pytest.raises(RtelastoError, match="must not travel"):
        here.allow(there.path / "own.key_secret")
    here.trust("scanner", there.path / "own.key")
    with pytest.raises(RtelastoError, match="holds another key"):
        here.trust("scanner", here.path / "own.key")
    for host in ("../scanner", "a/b", "", "a b"):
        with pytest.raises(RtelastoError, match="cannot name a key"):
            here.trust(host, there.path / "own.key")


def test_the_key_of_a_server_goes_by_host_and_port(here: KeyFolder, there: KeyFolder):
    assert here.server_key("tcp://10.0.0.5:5555") == here.public
    here.trust("10.0.0.5:5556", there.path / "own.key")
    assert here.server_key("tcp://10.0.0.5:5555") == here.public
    assert here.server_key("tcp://10.0.0.5:5556") == there.public
    here.trust("Scanner", there.path / "own.key")
    assert here.server_key("tcp://scanner:1") == there.public
    here.trust("[fe80::1]:7", there.path / "own.key")
    assert here.server_key("tcp://[fe80::1]:7") == there.public


@given(st.binary(max_size=200))
def test_no_file_is_taken_for_a_key_by_accident(tmp_path_factory: pytest.TempPathFactory, junk):
    folder = tmp_path_factory.getbasetemp() / "junk-keys"
    keys = KeyFolder.make(folder)
    (folder / "junk.key").write_bytes(junk)
    with pytest.raises(RtelastoError):
        keys.allow(folder / "junk.key")


@pytest.mark.slow
def test_the_command_makes_adds_and_explains(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    said = processes.finish("keys", str(here))
    assert said.returncode == 0, said.stderr
    own = KeyFolder.open(here)
    assert own.public.decode() in said.stdout
    assert own.secret.decode() not in said.stdout + said.stderr
    assert processes.finish("keys", str(there), "--allow", str(here / "own.key")).returncode == 0
    assert KeyFolder.open(there).allows(own.public)
    added = processes.finish("keys", str(here), "--server", "10.0.0.5", str(there / "own.key"))
    assert added.returncode == 0, added.stderr
    assert own.server_key("tcp://10.0.0.5:1") == KeyFolder.open(there).public
    refused = processes.finish("keys", str(here), "--allow", str(tmp_path / "no.key"))
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


@pytest.mark.slow
def test_a_run_that_others_could_reach_says_how_to_make_keys():
    for flags in (["--strain", "tcp://0.0.0.0:0"], ["--rf", "tcp://10.0.0.5:5555"]):
        refused = processes.finish("run", "--engine", "ncc", *flags)
        assert refused.returncode == 2
        assert f"rtelasto: {flags[1]!r} without keys" in refused.stderr
        assert "`rtelasto keys FOLDER`" in refused.stderr
