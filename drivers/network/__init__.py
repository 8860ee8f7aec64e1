"""Network drivers: what a guest's network card needs from the machine that it runs on.

The nouns
---------
A *network* is a subnet of the cloud, `novamesh.types.v1.Network`: a record of the
conductor. On a host it becomes a bridge with the gateway's address, a DHCP server,
NAT to the outside and a way to the metadata service. A *card* is one
`VirtualInterface`: a MAC address and a fixed address that belong to one guest, and
the name of the tap device (`device`) by which the hypervisor puts it on the bridge
(`network.bridge`). Both come whole in every call, so a driver needs no database
and never asks back.

A card is *plugged* once the host is ready for it: its guest gets its address by
DHCP, and can say nothing on the wire under another MAC or IP address than the
card's own. The tap device itself is the hypervisor's to make and to remove, in
whatever order: rules go by its name, so they stand before it appears.

What the host is to be, not what is to be done
----------------------------------------------
A driver keeps a picture of what should be: networks and cards. `apply` replaces the
picture, `plug` and `unplug` change it, and each then makes the host so, from whatever
it finds: after a crash, after somebody flushed the firewall, after dnsmasq was killed.
Nothing is done because of what was done before. So every method may be called twice,
and a `plug` that failed is mended by the next call of any method.

A boot
------
The conductor has claimed host and addresses. It calls `plug` for the instance's cards;
when that has answered, the guest may be started and may ask for its address at once.
Another host's network role hears of the card too when DHCP for its network runs there
(`network.host`; see `serves`).

A delete
--------
The guest ends, then `unplug`: rules and DHCP reservation go, and the lease is given
back in the guest's name, since the address may be another guest's in the next second.
A tap that is still there after its card was unplugged can't send any more.

A resize or live migration
--------------------------
`plug` on the destination before the guest arrives, `unplug` on the source once it has
gone. For a moment the card is plugged on both, which harms nothing: it is one MAC and
one address in both places, and frames come from one.

What comes next, and where it goes
----------------------------------
VLAN and Flat networks are further ways to make a bridge ready (`linux.links`, and
`linux.cards`, which refuses them until then). Multi-host is `serves` answering true
on every host. Floating addresses travel in the card: two maps in the NAT chains.
Security groups are a verdict map by tap in the forward chains (`linux.rules`). A
driver for another system is a class with these seven methods, held to the suite in
`drivers.testsuite.network`.
"""

from drivers.network.fake import FakeNetworkDriver
from drivers.network.protocols import NetworkDriver, PluggedCard, serves

__all__ = ["FakeNetworkDriver", "NetworkDriver", "PluggedCard", "serves"]
