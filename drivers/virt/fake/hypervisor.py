"""The hypervisor that the fake driver drives: a dictionary of guests, with faults on demand."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.virt.fake.journal import Journal
from drivers.virt.fake.options import FakeOptions
from drivers.virt.protocols import PowerChange
from novamesh.failures import DriverFailureError, NotFoundError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_CRASHED,
    POWER_STATE_RUNNING,
    POWER_STATE_SHUTDOWN,
    Instance,
    PowerState,
)

# An instance whose metadata has this key fails in the methods that its value names, joined by commas.
# It lets a test that has nothing but the Compute API provoke a failure.
FAIL_KEY = "novamesh:fake_fail"

# What a guest prints at each start: its id and how many starts it has had.
BOOT = (
    b"fake guest %s: boot %d\n",
    b"fake guest %s: boot %d: kernel\n",
    b"fake guest %s: boot %d: network\n",
    b"fake guest %s: boot %d: login:\n",
)

OFF = (POWER_STATE_SHUTDOWN, POWER_STATE_CRASHED)
# Ends the journal's names of guests that are kept aside.
KEPT = "_resize"
# The same of guests that are to come from another host.
_EXPECTED = "_incoming"


@dataclass(slots=True)
class FakeGuest:
    """One guest."""

    state: PowerState.ValueType
    boots: int = 0
    console: list[bytes] = field(default_factory=list)
    # The image that it was rescued from; empty for a guest that runs as it should.
    rescue_image: str = ""
    # What its agent was told last, for tests.
    password: str = ""
    # As its last start or resize had it; None after a restart of the process.
    flavor: Flavor | None = None
    # Data of images that were taken, by name.
    snapshots: dict[str, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class KeptGuest:
    """A guest as it was before a resize."""

    guest: FakeGuest
    # Empty after a restart of the process: the journal doesn't hold it.
    migration_id: str = ""


@dataclass(slots=True)
class _Fault:
    failure: Exception
    times: int
    instance_id: str


@dataclass(slots=True)
class Sending:
    """A guest on its way to another host. Sizes are in bytes."""

    memory: int
    disk: int
    seconds: float
    began: float = field(default_factory=time.monotonic)
    # Set to end the waiting; `aborted` says in which way.
    over: asyncio.Event = field(default_factory=asyncio.Event)
    aborted: bool = False


class FakeHypervisor:
    """Guests by id, who watches them, and what is to go wrong."""

    def __init__(self, options: FakeOptions) -> None:
        self.options = options
        self.guests: dict[str, FakeGuest] = {}
        self.kept: dict[str, KeptGuest] = {}
        # Guests that are being sent away, and ids of those that are to come.
        self.sendings: dict[str, Sending] = {}
        self._expected: set[str] = set()
        self.cached_images: set[str] = set()
        self.maintenance = False
        self.power_actions: list[str] = []
        self._faults: dict[str, list[_Fault]] = {}
        self._booted = time.monotonic()
        self._watchers: list[Callable[[PowerChange], None]] = []
        self._journal = Journal(options.journal) if options.journal else None

    def open(self) -> None:
        """Find the guests that an earlier process left in the journal."""
        if self._journal is not None:
            found = self._journal.open()
            self.guests = {
                guest: FakeGuest(state)
                for guest, state in found.items()
                if not guest.endswith((KEPT, _EXPECTED))
            }
            self._expected = {name.removesuffix(_EXPECTED) for name in found if name.endswith(_EXPECTED)}
            self.kept = {
                name.removesuffix(KEPT): KeptGuest(FakeGuest(state))
                for name, state in found.items()
                if name.endswith(KEPT)
            }

    def close(self) -> None:
        """Let go of the journal; guests stay in it."""
        if self._journal is not None:
            self._journal.close()

    def record(self, name: str, state: PowerState.ValueType | None) -> None:
        """Write what a later process has to find into the journal, if there is one; None for what is gone."""
        if self._journal is not None:
            self._journal.record(name, state)

    def fail(self, method: str, failure: Exception, times: int = 1, instance_id: str = "") -> None:
        """Make the next `times` calls of a method raise `failure`; for one instance when its id is given."""
        self._faults.setdefault(method, []).append(_Fault(failure, times, instance_id))

    async def begin(self, method: str, instance: Instance) -> None:
        """Take the time that the method takes, then fail where somebody asked for it."""
        delays = self.options.delays
        if delays and (delay := delays.get(method, delays.get("*", 0.0))):
            await asyncio.sleep(delay)
        for fault in self._faults.get(method, ()):
            if fault.times > 0 and fault.instance_id in ("", instance.id):
                fault.times -= 1
                raise fault.failure
        if FAIL_KEY in instance.metadata and method in instance.metadata[FAIL_KEY].split(","):
            raise DriverFailureError("fake", method, f"The instance's metadata asks {method} to fail.")

    def uptime(self) -> str:
        """The pretended host has been up as long as this object."""
        minutes = int(time.monotonic() - self._booted) // 60
        return f"up {minutes // 1440} days, {minutes // 60 % 24}:{minutes % 60:02d}"

    def guest(self, instance_id: str) -> FakeGuest:
        """The guest. Raises NotFoundError."""
        try:
            return self.guests[instance_id]
        except KeyError:
            raise NotFoundError("instance", instance_id) from None

    def enter(self, instance_id: str, state: PowerState.ValueType) -> None:
        """Bring a guest, a new one if need be, into a state, by whoever's wish: the guest's own, too."""
        guest = self.guests.get(instance_id)
        if guest is None:
            guest = self.guests[instance_id] = FakeGuest(POWER_STATE_SHUTDOWN)
        if state == POWER_STATE_RUNNING and guest.state in OFF:
            guest.boots += 1
            guest.console += [line % (instance_id.encode(), guest.boots) for line in BOOT]
        guest.state = state
        self.record(instance_id, state)
        self._tell(PowerChange(instance_id, state))

    def move(
        self, instance_id: str, origin: PowerState.ValueType, state: PowerState.ValueType, action: str
    ) -> None:
        """Bring a guest from one state into another, if it isn't there yet. Raises DriverFailureError."""
        guest = self.guest(instance_id)
        if guest.state == state:
            return
        if guest.state != origin:
            now = PowerState.Name(guest.state).removeprefix("POWER_STATE_").lower()
            raise DriverFailureError("fake", action, f"Guest {instance_id} is {now}: {action} is impossible.")
        self.enter(instance_id, state)

    def expect(self, instance_id: str) -> None:
        """A guest is to come from another host."""
        if instance_id not in self._expected:
            self._expected.add(instance_id)
            self.record(instance_id + _EXPECTED, POWER_STATE_SHUTDOWN)

    def expects(self, instance_id: str) -> bool:
        """Whether a guest is to come."""
        return instance_id in self._expected

    def unexpect(self, instance_id: str) -> None:
        """It has come, or never will."""
        if instance_id in self._expected:
            self._expected.remove(instance_id)
            self.record(instance_id + _EXPECTED, None)

    def drop(self, instance_id: str) -> None:
        """Remove a guest if it is there."""
        if self.guests.pop(instance_id, None) is None:
            return
        self.record(instance_id, None)
        self._tell(PowerChange(instance_id, POWER_STATE_SHUTDOWN))

    def watch(self, on_change: Callable[[PowerChange], None]) -> Callable[[], None]:
        """Call `on_change` within whatever causes a change, until what is returned is called."""
        self._watchers.append(on_change)
        return lambda: self._watchers.remove(on_change)

    def _tell(self, change: PowerChange) -> None:
        for on_change in tuple(self._watchers):
            on_change(change)
