"""The libvirt binding, which is an optional part of an installation.

Without it this package can still be imported, so that a cloud with the fake
driver needs no libvirt; `LibvirtDriver.start` says what is missing.
"""

from typing import Any

try:
    import libvirt as _binding
except ImportError:
    _binding = None

# Untyped: libvirt-python has no annotations.
libvirt: Any = _binding
