"""Which objects of a store are the dataset's own: the record of what was written there, and other proofs.

`.build/written.json` names every object that a build has written or is about to write, with the states it may be in.
It is begun before the first change, so that a build that was ended anywhere leaves nothing that the next one cannot
tell from a stranger's. Workers on many machines do not touch it: what they send carries the key of its unit inside, as
does its name. Datasets of versions without a record are known by their manifest.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from dped_data.common.files import sha256_of_file
from dped_data.common.remote_folder import RemoteFile, RemoteFolder
from dped_data.dataset.layout import unit_of_shard
from dped_data.dataset.places import (
    STORE_RECORD_NAME,
    is_numbered_shard,
    is_own_name,
    shard_names_of_unit,
    unit_of_name,
    unit_record_name,
    unit_records,
)
from dped_data.errors import InputError
from dped_data.work.remote_manifest import DESCRIBING, known_by_manifest
from dped_data.work.units import read_record

_FORMAT = {"format": "dped-written", "format_version": 1}


@dataclass(frozen=True)
class ObjectState:
    """Bytes written or about to be written as one object: their size, sha256, and the store's tag ("": none)."""

    size: int
    sha256: str
    tag: str = ""


def written(path: Path) -> ObjectState:
    """Return what sending a local file writes."""
    return ObjectState(path.stat().st_size, sha256_of_file(path))


class OwnObjects:
    """The objects at an address, and which of them can be proven to be a build's work; none is changed unproven.

    Attributes:
        files: everything that lay at the address when this was made, strangers' objects included.
        states: name -> states in which an object of that name is ours. More than one after a build that was ended.
    """

    def __init__(self, target: RemoteFolder, folder: Path) -> None:
        """List the address; the unit records in `folder`, its copy, help to tell shards.

        Raises:
            InputError: the record itself is a stranger's, or damaged.
        """
        self.target, self.files = target, target.files()
        self.states: dict[str, set[ObjectState]] = {}
        self._sha256: dict[str, str] = {}
        self._recorded: dict[str, list[list[Any]]] | None = None
        self._unexplained: list[str] = []
        if STORE_RECORD_NAME in self.files:
            self.states = self._read_record()
        elif not self._know_by_manifest():
            self._unexplained = [name for name in self.files if is_numbered_shard(name)]
        self.know_units(folder)

    def know_units(self, folder: Path) -> None:
        """Learn from the unit records in `folder` how the shards look that workers have sent."""
        for path in unit_records(folder):
            record = read_record(folder, path.stem)
            if record is None or not record.patches:
                continue
            for name in (*shard_names_of_unit(record.key), *self._unexplained):
                self.states.setdefault(name, set()).add(ObjectState(record.bytes, record.sha256, record.stored_tag))

    def learn(self, name: str, path: Path) -> str:
        """Note and return the sha256 of an object, which was fetched to `path`."""
        return self._sha256.setdefault(name, sha256_of_file(path))

    def proven(self, name: str) -> bool:
        """Tell whether an object is ours: the store's tag, the sha256 of its bytes, or the unit's key in it says so."""
        file, known = self.files[name], self.states.get(name, set())
        if not is_own_name(name):
            return False
        if self._tagged(name):
            return True
        key = unit_of_name(name)
        if any(state.size == file.size for state in known):
            sha256 = self._sha256_of(name)
            if any((state.size, state.sha256) == (file.size, sha256) for state in known):
                return True
        return key is not None and is_unit_object(self.target, name, key)

    def holds(self, name: str, wanted: ObjectState) -> bool:
        """Tell whether an object, whoever wrote it, has the bytes `wanted`; without a tag it is fetched to be told."""
        file = self.files.get(name)
        if file is None or file.size != wanted.size:
            return False
        tagged = self._tagged(name)
        if tagged:
            return any(state.sha256 == wanted.sha256 for state in tagged)
        return self._sha256_of(name) == wanted.sha256

    def refuse_foreign(self, names: Iterable[str]) -> None:
        """Raise InputError where an object that is not ours has one of the names that the dataset needs.

        Shards of whose bytes nothing is known yet are told by their size where the record has no tag of theirs; they
        are compared before the dataset is published.
        """
        for name in names:
            file = self.files.get(name)
            likely = (
                file is not None
                and name.endswith(".h5")
                and name not in self._sha256
                and any(state.size == file.size and not state.tag for state in self.states.get(name, ()))
            )
            if file is not None and not likely and not self.proven(name):
                raise foreign(self.target, name)

    def require(self, names: Iterable[str]) -> None:
        """Raise InputError where one of the objects to be replaced is not proven to be ours."""
        for name in names:
            self._expected(name)

    def known(self) -> list[str]:
        """Name the objects that may be ours: recorded, or called like a unit's."""
        return [name for name in self.files if name in self.states or unit_of_name(name) is not None]

    def by_sha256(self) -> dict[str, str]:
        """Return sha256 -> name of the object that has, or as far as is known may have, those bytes."""
        known = [(state, name) for name, states in self.states.items() if name in self.files for state in states]
        there = [
            (state, name)
            for state, name in sorted(known, key=lambda item: bool(item[0].tag))  # what the store vouches for wins
            if state.size == self.files[name].size and state.tag in ("", self.files[name].tag)
        ]
        return {state.sha256: name for state, name in there}

    def is_tagged(self, name: str, what: ObjectState) -> bool:
        """Tell whether the store's tag says that an object of ours has the bytes `what`."""
        return name in self.files and any(state.sha256 == what.sha256 for state in self._tagged(name))

    def send(self, path: Path, name: str, what: ObjectState) -> None:
        """Send a file, which is `what`; the object there, if there is one, must be ours."""
        self._done(name, self.target.send(path, name, self._expected(name)), what)

    def copy(self, name: str, to: str, what: ObjectState) -> None:
        """Copy an object of ours that has the bytes `what` to another name."""
        self._done(to, self.target.copy(name, to, self.files[name], self._expected(to)), what)

    def remove(self, name: str) -> None:
        """Remove an object of ours."""
        if not self.proven(name):
            raise foreign(self.target, name)
        self.target.remove(name, self.files.pop(name))

    def write_record(self, coming: Mapping[str, ObjectState]) -> None:
        """Make the record say what is there and what is `coming`. Call before the first change and after the last."""
        for name, state in coming.items():
            self.states.setdefault(name, set()).add(state)
        there = {name: self.states[name] for name in sorted(self.states) if name in self.files or name in coming}
        objects = {name: sorted(map(list, map(astuple, states))) for name, states in there.items()}
        if objects == self._recorded:
            return
        with tempfile.TemporaryDirectory(prefix="dped-") as folder:
            path = Path(folder) / Path(STORE_RECORD_NAME).name
            path.write_text(json.dumps({**_FORMAT, "objects": objects}, indent=1) + "\n", encoding="utf-8")
            self.files[STORE_RECORD_NAME] = self.target.send(path, STORE_RECORD_NAME, self.files.get(STORE_RECORD_NAME))
        self._recorded = objects

    def keep_only(self, local: Mapping[str, ObjectState], elsewhere: Collection[str]) -> None:
        """Forget all states but the present ones of the files `local` and of the objects `elsewhere`."""
        states = {name: self.states[name] for name in elsewhere if name in self.states}
        for name, state in local.items():
            file = self.files.get(name)
            if file is not None:
                sure = self._tagged(name) or name in self._sha256
                states[name] = {ObjectState(state.size, state.sha256, file.tag if sure else "")}
        self.states = states

    def _done(self, name: str, file: RemoteFile, what: ObjectState) -> None:
        self.files[name] = file
        self._sha256[name] = what.sha256
        self.states.setdefault(name, set()).add(ObjectState(what.size, what.sha256, file.tag))

    def _expected(self, name: str) -> RemoteFile | None:
        if name in self.files and not self.proven(name):
            raise foreign(self.target, name)
        return self.files.get(name)

    def _tagged(self, name: str) -> set[ObjectState]:
        """The states whose tag says that the object is in them."""
        file = self.files[name]
        return {s for s in self.states.get(name, ()) if s.tag and (s.size, s.tag) == (file.size, file.tag)}

    def _sha256_of(self, name: str) -> str:
        if name not in self._sha256:
            with tempfile.TemporaryDirectory(prefix="dped-") as folder:
                self.target.fetch(name, Path(folder) / "object")
                self.learn(name, Path(folder) / "object")
        return self._sha256[name]

    def _read_record(self) -> dict[str, set[ObjectState]]:
        try:
            document = json.loads(self.target.read(STORE_RECORD_NAME))
            if {key: document[key] for key in _FORMAT} != _FORMAT:
                raise ValueError
            return {
                name: {_state(row) for row in states}
                for name, states in document["objects"].items()
                if is_own_name(name)
            }
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise foreign(self.target, STORE_RECORD_NAME) from None

    def _know_by_manifest(self) -> bool:
        """Take what the version before has published: what the manifest names, and what agrees with it.

        Returns whether there was such a manifest.
        """
        with tempfile.TemporaryDirectory(prefix="dped-") as temporary:
            folder = Path(temporary)
            for name in DESCRIBING & set(self.files):
                self.target.fetch(name, folder / name)
            manifest, agreeing = known_by_manifest(folder)
            for split in manifest.splits.values() if manifest else ():
                self.states |= {s.file: {ObjectState(s.bytes, s.sha256)} for s in split.shards if is_own_name(s.file)}
            for name in agreeing:
                self.states[name] = {written(folder / name)}
            return manifest is not None


def foreign(target: RemoteFolder, name: str) -> InputError:
    """The error about an object that is in the way."""
    return InputError(
        f"{target.url}/{name}: not written by dped, or changed since, and the dataset needs its name; "
        "move it away, or choose another --out"
    )


def is_unit_object(target: RemoteFolder, name: str, key: str) -> bool:
    """Tell whether an object is the shard or the record of the unit `key`, as a worker sends it: it carries the key."""
    with tempfile.TemporaryDirectory(prefix="dped-") as folder:
        path = Path(folder) / unit_record_name(key)
        target.fetch(name, path)
        if name.endswith(".json"):
            record = read_record(Path(folder), key)
            return record is not None and record.key == key
        return unit_of_shard(path) == key


def _state(row: Any) -> ObjectState:
    size, sha256, tag = row
    if (type(size), type(sha256), type(tag)) != (int, str, str):
        raise ValueError
    return ObjectState(size, sha256, tag)
