"""Where a dataset goes: a folder of this machine, or a remote store with a copy on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dped_data.common.cache import cache_folder
from dped_data.common.remote_folder import RemoteFolder, remote_folder
from dped_data.common.work_folder import make_work_folder
from dped_data.dataset.places import WORK_FOLDER
from dped_data.work.folder import locked
from dped_data.work.remote_copy import begin_remote, fetch_dataset, publish, send_unit
from dped_data.work.remote_record import OwnObjects
from dped_data.work.units import Unit, UnitRecord


class Destination:
    """A folder of this machine: what is written there is there.

    Attributes:
        folder: where the dataset is made, on this machine.
        place: where a person finds it: the folder, or an address.
    """

    def __init__(self, folder: Path) -> None:
        """Take `folder`, which need not be there."""
        self.folder = folder
        self.place: Path | str = folder

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "folder": self.folder.absolute()}  # workers have another working folder

    @property
    def shared_folder(self) -> Path | None:
        """The folder that workers on other machines must see; None where they need none."""
        return self.folder

    def fetch(self) -> None:
        """Bring `folder` to the state of what is published. Call before anything is planned."""

    def begin(self, units: Sequence[Unit], left: Sequence[Unit], pictures: Sequence[str]) -> None:
        """Announce a build of `units`, which works on those `left`. Call under the lock.

        Raises:
            InputError: somebody else's object has a name that the dataset may need. Nothing is changed then.
        """

    def has(self, name: str) -> bool:
        """Whether the dataset has a file of this name, here or where it is published."""
        return (self.folder / name).is_file()

    def prepare_worker(self, unit: Unit) -> None:
        """Make room for a unit's files, in the process and on the machine that works on it."""

    def send(self, unit: Unit, record: UnitRecord) -> None:
        """Publish a finished unit, from the machine that worked on it."""

    def collect(self) -> None:
        """Bring here what workers on other machines have sent."""

    def publish(self) -> None:
        """Publish the finished dataset. Call under the lock."""


class StoreDestination(Destination):
    """A folder in a remote store. The dataset is made in the cache and sent unit by unit, by whoever worked on it."""

    def __init__(self, store: RemoteFolder, phone: str) -> None:
        """Take the dataset's own address."""
        super().__init__(cache_folder(store.url) / phone)
        self.place = store.url
        self._store = store
        self._own: OwnObjects | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_own": None}  # workers send units, which need no view of the whole

    @property
    def shared_folder(self) -> Path | None:
        """None: workers have folders of their own."""
        return None

    def fetch(self) -> None:
        """See `fetch_dataset`."""
        with locked(self.folder):
            self._own = fetch_dataset(self._store, self.folder)

    def has(self, name: str) -> bool:
        """See `Destination.has`."""
        return super().has(name) or (self._own is not None and name in self._own.files)

    def begin(self, units: Sequence[Unit], left: Sequence[Unit], pictures: Sequence[str]) -> None:
        """See `begin_remote`."""
        assert self._own is not None, "fetch comes first"
        begin_remote(self._own, self.folder, units, left, pictures)

    def prepare_worker(self, unit: Unit) -> None:
        """Make the folders of the copy, which a worker on another machine lacks."""
        (self.folder / unit.split).mkdir(parents=True, exist_ok=True)
        make_work_folder(self.folder / WORK_FOLDER, whole_folder=True)

    def send(self, unit: Unit, record: UnitRecord) -> None:
        """See `send_unit`."""
        send_unit(self._store, self.folder, unit, record)

    def collect(self) -> None:
        """Fetch the shards of workers on other machines, which have left them in the store only."""
        fetch_dataset(self._store, self.folder)

    def publish(self) -> None:
        """See `remote_copy.publish`."""
        publish(self._store, self.folder)


def destination(out: Path | str, phone: str) -> Destination:
    """Return where OUT/<phone> goes; UsageError for an address that cannot be used."""
    store = remote_folder(out, phone)
    return StoreDestination(store, phone) if store else Destination(Path(out) / phone)
