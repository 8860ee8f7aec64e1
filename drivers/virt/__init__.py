"""Hypervisor drivers: what a guest needs from the machine that it runs on.

The nouns
---------
An *instance* is the user's virtual machine: a record, `novamesh.types.v1.Instance`,
that lives in the conductor's database and outlives every process. A *guest* is
what a hypervisor runs for it. A driver is given instances and keeps guests; it
has no database and decides nothing about states. What it must find again after
a crash it reads from the hypervisor and from its own files.

`instance.id` is the guest's identity everywhere: its UUID in the hypervisor,
the name of its folder. `instance.number` makes the name that operators see,
`instance-0000002a`. `instance.flavor` is a copy from the time of the boot, so
it says what this guest has, whatever became of the flavor since.
`instance.interfaces` come in the order of their position; each one says its
bridge (`network.bridge`), MAC address and tap device's name (`device`).
`instance.system_metadata` holds the image's properties with the prefix
`image_`, for example `image_hw_disk_bus`: from it, and not from the image
service, a hard reboot learns what hardware the guest is to have.

`Boot` carries what only the first start needs: the files of the config drive,
and whom to tell of progress. Images a driver fetches by itself, from the
`ImageSource` that it was made with, since only it knows whether they end on a
local disk, in a datastore or nowhere.

A boot
------
The compute role has networks ready (bridges, DHCP reservations), then calls
`spawn(instance, boot)`. The libvirt driver: fetches the image, or finds it in
the cache, verifies and converts it (`image_cache`); makes an overlay of the
root disk's size on it, and ephemeral, swap and config drives; for an AMI puts
kernel and ramdisk beside them; defines the domain; starts it. Each file is
made under another name and renamed when whole, each step is left out when its
result is there. So a spawn that was killed anywhere and is asked for again
ends in the same place. When the spawn fails for good, the role calls `destroy`,
which needs nothing but the id, and removes whatever there is.

While it runs, `watch` tells the role of every change of power state, those
which the role caused included: a guest that powers itself off is noticed at
once. After a hypervisor was away, a `PowerChange` with an empty id asks the
role to compare `instances()` with the records.

A resize
--------
The source's `migrate_disks` powers the guest off and keeps it aside as it is;
where the destination is another host, `send_disks` sends it there. The
destination's `finish_resize` makes the guest in its new size of copies that
have grown. Then the user decides: `confirm_resize` drops what the source has
kept, or `revert_resize` ends the new guest and the source's `finish_revert`
takes up what it has kept. On one host all of this happens in one place, and the
new guest has the old one's name there. What is kept is never written to, so
whatever goes wrong, the way back is there. `moves` has the Protocols.

A live migration
----------------
The destination makes ready (bases in its cache, overlays, networks), the
source's hypervisor sends memory and maybe disks, the destination's guest goes
on. Calls on two hosts, told apart by their role: *check*, *prepare* and *finish*
at the destination, *migrate* at the source, each repeatable by the rule below
(`live_migration`). The fake driver has it; the libvirt driver doesn't yet.

A snapshot
----------
`take_snapshot` copies the root disk as it is at one moment into a file of the
host, flattened, so that it needs no other file; a guest that runs isn't
stopped. The role then reads it with `read_snapshot` into an upload, and drops
it. The ledger may ask for each of these again: a copy that is whole is kept
until it is dropped, one that a crash cut short is begun anew, and all go with
the guest.

The rule
--------
Every method may be called twice and must end in the same place. The ledger of
the conductor calls again after any crash; a driver that honours this can't
leak a guest, nor lose one. The suite in `drivers.testsuite` holds every driver
to it.
"""

from drivers.virt.protocols import (
    Boot,
    Console,
    ConsoleEndpoint,
    ConsoleKind,
    Driver,
    GuestAgent,
    GuestState,
    HostPower,
    HostPowerAction,
    ImageCaching,
    ImagePrecaching,
    ImageSource,
    Interfaces,
    Inventory,
    Lifecycle,
    PowerChange,
    Progress,
    Rescue,
    Snapshot,
    Snapshots,
    Suspend,
    capabilities,
    no_progress,
)

__all__ = [
    "Boot",
    "Console",
    "ConsoleEndpoint",
    "ConsoleKind",
    "Driver",
    "GuestAgent",
    "GuestState",
    "HostPower",
    "HostPowerAction",
    "ImageCaching",
    "ImagePrecaching",
    "ImageSource",
    "Interfaces",
    "Inventory",
    "Lifecycle",
    "PowerChange",
    "Progress",
    "Rescue",
    "Snapshot",
    "Snapshots",
    "Suspend",
    "capabilities",
    "no_progress",
]
