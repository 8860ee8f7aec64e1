"""Signs of life, gathered and written once a second: a thousand hosts must not cost a thousand
transactions."""

from db import hosts, nodes, operations
from db.database import Connection, Database
from db.hosts import Heartbeat
from db.schema.base import now
from novamesh.conductor.v1.node_service_pb2 import Node
from services.conductor.feed import Feeds
from services.conductor.hearing import Hearing
from services.conductor.progress import ProgressBook


class Heartbeats:
    """What has been reported since the last flush."""

    def __init__(self, database: Database, feeds: Feeds, progress: ProgressBook, hearing: Hearing) -> None:
        self._database = database
        self._feeds = feeds
        self.hearing = hearing
        self._progress = progress
        self._hosts: dict[str, Heartbeat] = {}
        self._nodes: dict[tuple[str, str], Node] = {}
        self._free: dict[str, int] = {}

    def host(self, beat: Heartbeat) -> None:
        """A host is alive."""
        self._hosts[beat.name] = beat

    def node(self, report: Node) -> None:
        """A role is alive."""
        self._nodes[(report.role, report.host)] = report

    async def begin(self) -> None:
        """Learn when a conductor was last there to hear."""
        last = await self._database.read(lambda c: nodes.last_report(c, "conductor"))
        if last is not None:
            self.hearing.wrote(last)

    async def flush(self) -> None:
        """Write what has come in. What can't be written is kept for the next time."""
        beats, self._hosts = self._hosts, {}
        reports, self._nodes = self._nodes, {}
        steps = self._progress.unwritten()
        if not (beats or reports or steps):
            return

        def work(connection: Connection) -> None:
            # In one order, so that conductors which write at once don't deadlock.
            hosts.report(connection, sorted(beats.values(), key=lambda beat: beat.name))
            nodes.report(connection, reports.values())
            operations.progress(connection, steps, now())

        try:
            await self._database.write(work)
        except Exception:
            self._hosts = beats | self._hosts
            self._nodes = reports | self._nodes
            raise
        self.hearing.wrote(now())
        changed = [
            beat.name for beat in beats.values() if self._free.get(beat.name) != beat.disk_available_gb
        ]
        self._free.update({beat.name: beat.disk_available_gb for beat in beats.values()})
        self._feeds.hosts.touch(changed)
