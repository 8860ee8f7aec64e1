"""What the scheduler has proposed and not yet seen claimed.

Between a proposal and the conductor's claim some milliseconds pass in which the
picture still shows the host as free. Counting proposals as used for that long
keeps many creates at once from all being sent to one host. It is a courtesy,
not a lock: the conductor's claim decides, and an instance that would find no
host because of proposals alone is proposed for as if there were none.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from novamesh.types.v1.host_pb2 import Host
from services.scheduler.hosts import Claim, HostTable


class Proposal(NamedTuple):
    """One instance's claim on its host, while nobody has seen it settled."""

    host: str
    claim: Claim
    # In seconds of the caller's clock.
    expires_at: float


class Proposals:
    """Proposals by instance, counted as used in the table while they last.

    All of them live equally long, so the order of making is the order of expiry.
    """

    def __init__(self, hosts: HostTable, lifetime: float) -> None:
        self._hosts = hosts
        self._lifetime = lifetime
        self._by_instance: dict[str, Proposal] = {}
        self._by_host: dict[str, dict[str, Claim]] = {}

    def __len__(self) -> int:
        return len(self._by_instance)

    def add(self, instance_id: str, host: str, claim: Claim, now: float) -> None:
        """Count `claim` as used on `host` from now on; an earlier proposal for the instance is dropped."""
        self.drop(instance_id)
        self._by_instance[instance_id] = Proposal(host, claim, now + self._lifetime)
        self._by_host.setdefault(host, {})[instance_id] = claim
        self._hosts.take(host, claim)

    def drop(self, instance_id: str) -> None:
        """Forget what was proposed for an instance, if anything."""
        proposal = self._by_instance.pop(instance_id, None)
        if proposal is not None:
            self._hosts.take(proposal.host, proposal.claim, -1)
            self._forget(proposal.host, instance_id)

    def expire(self, now: float) -> None:
        """Drop what is too old."""
        while self._by_instance:
            instance_id, proposal = next(iter(self._by_instance.items()))
            if proposal.expires_at > now:
                return
            self.drop(instance_id)

    def others(self, instance_ids: Collection[str]) -> bool:
        """Whether there are proposals for instances other than these."""
        return any(instance_id not in instance_ids for instance_id in self._by_instance)

    @contextmanager
    def set_aside(self, instance_ids: Collection[str]) -> Iterator[None]:
        """In this block proposals for instances other than these count as free."""
        others = [p for instance_id, p in self._by_instance.items() if instance_id not in instance_ids]
        for proposal in others:
            self._hosts.take(proposal.host, proposal.claim, -1)
        try:
            yield
        finally:
            for proposal in others:
                self._hosts.take(proposal.host, proposal.claim)

    def apply(self, hosts: Sequence[Host], removed: Sequence[str] = ()) -> None:
        """Take a batch of hosts into the table.

        A host that counts n more instances than before has settled its n oldest
        proposals, as near as can be told: it doesn't say which instances they are,
        and where that is wrong the proposal's end mends it.
        """
        for host in hosts:
            waiting = self._by_host.get(host.name)
            if not waiting:
                continue
            grown = host.usage.instances - self._hosts.claims(host.name)
            for instance_id in list(waiting)[: max(0, grown)]:
                del self._by_instance[instance_id]
                self._forget(host.name, instance_id)
        self._hosts.update(hosts, removed)
        for name in {host.name for host in hosts}:
            for claim in self._by_host.get(name, {}).values():
                self._hosts.take(name, claim)

    def _forget(self, host: str, instance_id: str) -> None:
        claims = self._by_host[host]
        del claims[instance_id]
        if not claims:
            del self._by_host[host]
