"""A driver without a hypervisor: in memory, fast, with faults and delays on demand.

It passes the conformance suite like any other, so what is tested against it is
tested against a driver. See docs/drivers/fake.md.
"""

from drivers.virt.fake.driver import FakeDriver
from drivers.virt.fake.options import FakeOptions

__all__ = ["FakeDriver", "FakeOptions"]
