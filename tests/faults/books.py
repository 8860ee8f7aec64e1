"""What a cloud holds, by its records and by what really runs, and whether the two agree."""

from collections import Counter
from dataclasses import dataclass

import sqlalchemy as sa

from db import instance_queries
from db.schema.compute import hosts, quota_usages
from db.schema.ledger import operations
from db.schema.networks import fixed_ips, virtual_interfaces
from novamesh.conductor.v1.instance_service_pb2 import ListInstancesRequest
from novamesh.types.v1.instance_pb2 import (
    TASK_STATE_UNSPECIFIED,
    VM_STATE_ACTIVE,
    VM_STATE_ERROR,
    Instance,
    TaskState,
    VmState,
)
from novamesh.types.v1.operation_pb2 import OPERATION_STATE_PENDING, OPERATION_STATE_RUNNING
from tests.faults.rest import PATIENCE, Site, until

TAKEN = 1


@dataclass(frozen=True)
class Books:
    """One look at everything."""

    instances: list[Instance]
    # Of the host's driver: guests that run.
    guests: set[str]
    # Instances by how many fixed addresses they hold.
    addresses: Counter[str]
    cards: Counter[str]
    # Instances, VCPUs, MiB, GiB that count as claimed on hosts.
    claimed: tuple[int, int, int, int]
    # Instances, VCPUs, MiB that count against quotas.
    quota: tuple[int, int, int]
    unfinished: int

    def errors(self) -> list[Instance]:
        """Instances that could not be built."""
        return [one for one in self.instances if one.vm_state == VM_STATE_ERROR]

    def active(self) -> set[str]:
        """Ids of instances that run."""
        return {one.id for one in self.instances if one.vm_state == VM_STATE_ACTIVE}

    def restless(self) -> list[str]:
        """What isn't finished, or isn't as it should end: empty once all is settled."""
        found = [
            f"{one.id} is {VmState.Name(one.vm_state)} {TaskState.Name(one.task_state)}"
            for one in self.instances
            if one.vm_state not in (VM_STATE_ACTIVE, VM_STATE_ERROR)
            or one.task_state != TASK_STATE_UNSPECIFIED
        ]
        return [*found, *([f"{self.unfinished} operations are unfinished"] if self.unfinished else [])]

    def leaks(self) -> list[str]:
        """What is held that nobody has, and what somebody has that isn't held; empty when all agrees."""
        found = []
        active = {one.id: one for one in self.instances if one.vm_state == VM_STATE_ACTIVE}
        for what, held in (
            ("guest", self.guests),
            ("address", set(self.addresses)),
            ("card", set(self.cards)),
        ):
            found += [f"{what} of {one}, which isn't active" for one in held - active.keys()]
            found += [f"no {what} for {one}, which is active" for one in active.keys() - held]
        for what, counted in (("addresses", self.addresses), ("cards", self.cards)):
            found += [f"{count} {what} for {one}" for one, count in counted.items() if count > 1]
        on_hosts = [one.flavor for one in active.values()]
        claims = (
            len(on_hosts),
            sum(flavor.vcpus for flavor in on_hosts),
            sum(flavor.memory_mb for flavor in on_hosts),
            sum(flavor.root_gb for flavor in on_hosts),
        )
        if self.claimed != claims:
            found.append(f"claimed on hosts: {self.claimed}, active instances have {claims}")
        flavors = [one.flavor for one in self.instances]
        used = (len(flavors), sum(f.vcpus for f in flavors), sum(f.memory_mb for f in flavors))
        if self.quota != used:
            found.append(f"counted against quotas: {self.quota}, instances have {used}")
        found += [f"{one.id} is in error without a reason" for one in self.errors() if not one.fault.message]
        found += [
            f"{one.id} tells users where it was: {one.fault.message}"
            for one in self.errors()
            if "127.0.0.1" in one.fault.message or "faulty" in one.fault.message
        ]
        found += [f"{one.id} is in error on host {one.host}" for one in self.errors() if one.host]
        return found


def look(cloud: Site) -> Books:
    """Read the database, and ask the hypervisor."""
    engine = sa.create_engine(cloud.settings.database.connection, poolclass=sa.NullPool)
    with engine.connect() as connection:
        instances, token = instance_queries.page(connection, ListInstancesRequest(page_size=1000))
        assert not token, "more instances than one page"
        taken = connection.execute(sa.select(fixed_ips.c.instance_id).where(fixed_ips.c.state == TAKEN))
        h, q, o = hosts.c, quota_usages.c, operations.c
        claimed = connection.execute(
            sa.select(
                h.instances,
                h.vcpus_used - h.reserved_vcpus,
                h.memory_mb_used - h.reserved_memory_mb,
                h.disk_gb_used - h.reserved_disk_gb,
            )
        ).all()
        quota = connection.execute(sa.select(q.instances, q.cores, q.ram).where(q.user_id == "")).all()
        unfinished = connection.execute(
            sa.select(sa.func.count()).where(o.state.in_([OPERATION_STATE_PENDING, OPERATION_STATE_RUNNING]))
        ).scalar_one()
        addresses = Counter(str(row[0]) for row in taken)
        cards = Counter(
            str(row[0]) for row in connection.execute(sa.select(virtual_interfaces.c.instance_id))
        )
    return Books(
        instances=instances,
        guests=cloud.guests(),
        addresses=addresses,
        cards=cards,
        claimed=(
            sum(row[0] for row in claimed),
            sum(row[1] for row in claimed),
            sum(row[2] for row in claimed),
            sum(row[3] for row in claimed),
        ),
        quota=(sum(row[0] for row in quota), sum(row[1] for row in quota), sum(row[2] for row in quota)),
        unfinished=unfinished,
    )


async def balanced(cloud: Site, timeout: float = PATIENCE) -> Books:
    """The books once every operation has ended and everything agrees; fails with what doesn't."""
    books = look(cloud)

    async def agree() -> bool:
        nonlocal books
        books = look(cloud)
        return not books.restless() and not books.leaks()

    try:
        await until(agree, "the books balance", timeout)
    except AssertionError:
        raise AssertionError("\n".join([*books.restless(), *books.leaks()])) from None
    return books


async def empty(cloud: Site, timeout: float = PATIENCE) -> None:
    """Wait until nothing is left of any instance; fails with what is."""
    books = await balanced(cloud, timeout)
    assert not books.instances, [one.id for one in books.instances]
