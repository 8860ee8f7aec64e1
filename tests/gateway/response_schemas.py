"""What each list and each thing of the Compute API looks like at the first and at the last microversion."""

from typing import NamedTuple

from tests.gateway.response_shapes import (
    ACTION,
    ACTION_1,
    AGGREGATE_1,
    BRIEF_SERVER,
    EVENT,
    EXTENSION,
    FLAVOR,
    FLAVOR_1,
    FOR_ADMINS,
    FOR_ADMINS_1,
    GROUP,
    GROUP_1,
    HYPERVISOR_1,
    HYPERVISOR_MORE,
    HYPERVISOR_SUMS,
    IMAGE_1,
    KEYPAIR,
    KEYPAIR_1,
    LIMITS,
    LIMITS_1,
    LINKS,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    NETWORK_1,
    NOT_IN_CLASSES,
    NOTHING,
    NUMBER,
    PLAIN_ADDRESSES,
    QUOTAS,
    QUOTAS_1,
    SERVER,
    SERVER_1,
    SERVER_DETAIL,
    SERVICE_1,
    SHOWN_KEYPAIR,
    TEXT,
    TEXTS,
    TRUTH,
    USAGE,
    UUID,
    VERSION,
    Schema,
    any_number,
    closed,
    limits,
    numbers,
    record,
    several,
)


class Checked(NamedTuple):
    """A GET, its first and its last shape, and who sees it so."""

    path: str
    first: Schema | None
    last: Schema | None
    token: str = "demo"


_SERVER_PATH = "/servers/{server}"

CHECKED: tuple[Checked, ...] = (
    Checked(_SERVER_PATH, record(server=closed(SERVER_1)), record(server=closed(SERVER))),
    Checked(
        _SERVER_PATH,
        record(server=closed({**SERVER_1, **FOR_ADMINS_1})),
        record(server=closed({**SERVER, **FOR_ADMINS})),
        "admin",
    ),
    Checked("/servers", record(servers=several(BRIEF_SERVER)), record(servers=several(BRIEF_SERVER))),
    Checked(
        "/servers/detail",
        record(servers=several(closed(SERVER_1))),
        record(servers=several(closed(SERVER_DETAIL))),
    ),
    Checked(_SERVER_PATH + "/metadata", record(metadata=TEXTS), record(metadata=TEXTS)),
    Checked(_SERVER_PATH + "/metadata/k", record(meta=TEXTS), record(meta=TEXTS)),
    Checked(_SERVER_PATH + "/tags", None, record(tags=several(TEXT))),
    Checked(_SERVER_PATH + "/ips", record(addresses=PLAIN_ADDRESSES), record(addresses=PLAIN_ADDRESSES)),
    Checked(_SERVER_PATH + "/ips/private", PLAIN_ADDRESSES, PLAIN_ADDRESSES),
    Checked(
        _SERVER_PATH + "/os-instance-actions",
        record(instanceActions=several(closed(ACTION_1))),
        record(instanceActions=several(closed(ACTION))),
    ),
    Checked(
        _SERVER_PATH + "/os-instance-actions/{request}",
        record(instanceAction=closed(ACTION_1)),
        record(instanceAction=closed({**ACTION, "events": several(closed(EVENT))})),
    ),
    Checked(
        _SERVER_PATH + "/os-instance-actions/{request}",
        record(
            instanceAction=closed(
                {
                    **ACTION_1,
                    "events": several(
                        closed(
                            {
                                **{name: schema for name, schema in EVENT.items() if name != "hostId"},
                                "traceback": MAYBE_TEXT,
                            }
                        )
                    ),
                }
            )
        ),
        record(
            instanceAction=closed(
                {
                    **ACTION,
                    "events": several(
                        closed({**EVENT, "host": TEXT, "traceback": MAYBE_TEXT, "details": MAYBE_TEXT})
                    ),
                }
            )
        ),
        "admin",
    ),
    Checked(
        _SERVER_PATH + "/os-interface",
        record(
            interfaceAttachments=several(
                record(
                    port_state=TEXT,
                    port_id=UUID,
                    net_id=UUID,
                    mac_addr=TEXT,
                    fixed_ips=several(record(subnet_id=UUID, ip_address=TEXT)),
                )
            )
        ),
        record(
            interfaceAttachments=several(
                record(
                    port_state=TEXT,
                    port_id=UUID,
                    net_id=UUID,
                    mac_addr=TEXT,
                    fixed_ips=several(record(subnet_id=UUID, ip_address=TEXT)),
                    tag=MAYBE_TEXT,
                )
            )
        ),
    ),
    Checked(_SERVER_PATH + "/os-server-password", record(password=TEXT), record(password=TEXT)),
    Checked(
        _SERVER_PATH + "/topology",
        None,
        record(nodes={"type": "array", "maxItems": 0}, pagesize_kb=NOTHING),
    ),
    Checked("/flavors/1", record(flavor=closed(FLAVOR_1)), record(flavor=closed(FLAVOR))),
    Checked("/flavors/detail", record(flavors=several(closed(FLAVOR_1))),
            record(flavors=several(closed(FLAVOR)))),
    Checked(
        "/flavors",
        record(flavors=several(record(id=TEXT, name=TEXT, links=LINKS))),
        record(flavors=several(record(id=TEXT, name=TEXT, links=LINKS, description=MAYBE_TEXT))),
    ),
    Checked(
        "/os-keypairs",
        record(keypairs=several(record(keypair=closed(KEYPAIR_1)))),
        record(keypairs=several(record(keypair=closed(KEYPAIR)))),
    ),
    Checked(
        "/os-keypairs/first",
        record(keypair=closed({**KEYPAIR_1, **SHOWN_KEYPAIR})),
        record(keypair=closed({**KEYPAIR, **SHOWN_KEYPAIR})),
    ),
    Checked("/limits", limits(LIMITS_1), limits(LIMITS)),
    Checked(
        "/os-quota-sets/demo",
        record(quota_set=numbers(QUOTAS_1, id=TEXT)),
        record(quota_set=numbers(QUOTAS, id=TEXT)),
    ),
    Checked(
        "/os-quota-class-sets/default",
        record(
            quota_class_set=numbers(
                tuple(name for name in QUOTAS_1 if name not in NOT_IN_CLASSES), id={"const": "default"}
            )
        ),
        record(quota_class_set=numbers(QUOTAS, id={"const": "default"})),
        "admin",
    ),
    Checked(
        "/os-services",
        record(services=several(closed(SERVICE_1))),
        record(services=several(closed({**SERVICE_1, "id": UUID, "forced_down": TRUTH}))),
        "admin",
    ),
    Checked(
        "/os-hypervisors",
        record(hypervisors=several(closed(HYPERVISOR_1))),
        record(hypervisors=several(closed({**HYPERVISOR_1, "id": UUID}))),
        "admin",
    ),
    Checked(
        "/os-hypervisors/detail",
        record(
            hypervisors=several(
                closed(
                    {
                        **HYPERVISOR_1,
                        **HYPERVISOR_MORE,
                        **dict.fromkeys(HYPERVISOR_SUMS, NUMBER),
                        "disk_available_least": MAYBE_NUMBER,
                        "cpu_info": TEXT,
                        "service": record(id=NUMBER, host=TEXT, disabled_reason=MAYBE_TEXT),
                    }
                )
            )
        ),
        record(
            hypervisors=several(
                closed(
                    {
                        **HYPERVISOR_1,
                        **HYPERVISOR_MORE,
                        "id": UUID,
                        "uptime": MAYBE_TEXT,
                        "servers": any_number(record(uuid=UUID, name=TEXT)),
                        "service": record(id=UUID, host=TEXT, disabled_reason=MAYBE_TEXT),
                    },
                    ("servers",),
                )
            )
        ),
        "admin",
    ),
    Checked(
        "/os-aggregates",
        record(aggregates=several(closed(AGGREGATE_1))),
        record(aggregates=several(closed({**AGGREGATE_1, "uuid": UUID}))),
        "admin",
    ),
    Checked(
        "/os-availability-zone",
        record(
            availabilityZoneInfo=several(
                record(zoneName=TEXT, zoneState=record(available=TRUTH), hosts=NOTHING)
            )
        ),
        record(
            availabilityZoneInfo=several(
                record(zoneName=TEXT, zoneState=record(available=TRUTH), hosts=NOTHING)
            )
        ),
    ),
    Checked(
        "/os-server-groups/{group}", record(server_group=closed(GROUP_1)), record(server_group=closed(GROUP))
    ),
    Checked(
        "/os-simple-tenant-usage",
        record(tenant_usages=several(closed(USAGE))),
        record(tenant_usages=several(closed(USAGE)), tenant_usages_links=any_number({"type": "object"}),
               optional=("tenant_usages_links",)),
        "admin",
    ),
    Checked("/os-networks", record(networks=several(closed(NETWORK_1))), None),
    Checked("/images/{image}", record(image=closed(IMAGE_1)), None),
    Checked("/extensions", record(extensions=several(EXTENSION)), record(extensions=several(EXTENSION))),
    Checked("/demo", record(version=VERSION), record(version=VERSION)),
)  # fmt: skip
