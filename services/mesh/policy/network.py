"""Who may call the network role: full method name to the roles that may."""

_SERVICE = "/novamesh.network.v1.InterfaceService"

ROWS: dict[str, frozenset[str]] = {
    f"{_SERVICE}/PlugInterfaces": frozenset({"conductor", "compute"}),
    f"{_SERVICE}/UnplugInterfaces": frozenset({"conductor", "compute"}),
    f"{_SERVICE}/ListPluggedInterfaces": frozenset({"conductor", "compute", "admin"}),
}
