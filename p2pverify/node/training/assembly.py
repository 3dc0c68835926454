"""The parts of a node that takes part in training rounds, put together."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.counters import Counters
from p2pverify.core.machine import Machine
from p2pverify.node.blobs.ports import BlobKeeper
from p2pverify.node.blobs.serving import RoundBlobServer
from p2pverify.node.data.store import DataStore
from p2pverify.node.driver import Driver
from p2pverify.node.ports import BlobPort, BlobSource
from p2pverify.node.training.blobs import RoundBlobs
from p2pverify.node.training.fetching import RoundFetcher
from p2pverify.node.training.ports import Trainer
from p2pverify.node.training.service import TrainingService
from p2pverify.node.training.versions import TrainedVersions

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # the stubs that libp2p brings hide trio's own name


class NodeTraining:
    """A node's part in training rounds. `rows` are its own data sets, and `keeper` has the folder of blobs of rounds.

    `listed` are the manifests of the network file. `find_weights` finds the weights of a manifest on this machine.
    """

    def __init__(
        self,
        machine: Machine,
        listed: Sequence[Manifest],
        trainer: Trainer,
        rows: DataStore,
        keeper: BlobKeeper,
        find_weights: Callable[[Manifest], Path | None],
    ) -> None:
        self._machine = machine
        self.versions = TrainedVersions(machine, listed, trainer, find_weights)
        self.blobs = RoundBlobs(keeper, self.versions.lasting)
        self._service = TrainingService(machine, trainer, rows, self.versions, self.blobs)
        #: The `Train` of the driver.
        self.submit_nowait = self._service.submit_nowait

    @property
    def manifests(self) -> Mapping[bytes, Manifest]:
        """The manifests of trained versions that are here, by digest. It is one mapping, which grows."""
        return self.versions.manifests

    def source(self, files: BlobSource | None) -> BlobSource:
        """What serves the blobs of rounds to members, and beside them what `files` serves."""
        return RoundBlobServer(self.blobs, files)

    async def run(
        self,
        driver: Driver,
        port: BlobPort,
        counters: Counters,
        ready: Callable[[], None],
        *,
        task_status: "TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Carry out the orders of a driver's machine until cancelled. `ready` is called when a new version is here.

        Fetches are counted by `counters`.
        """
        driver.on_final(self._service.look_again)
        fetcher = RoundFetcher(self._machine, port, self.blobs, counters)
        await self._service.run(fetcher, driver.order, ready, task_status=task_status)
