"""Who may call the consoles role: full method name to the roles that may."""

_SERVICE = "/novamesh.consoles.v1.SessionService"

ROWS: dict[str, frozenset[str]] = {
    f"{_SERVICE}/ListProxies": frozenset({"gateway", "admin"}),
    f"{_SERVICE}/ListSessions": frozenset({"admin"}),
    f"{_SERVICE}/WatchSessions": frozenset({"admin"}),
    f"{_SERVICE}/EndSessions": frozenset({"conductor", "admin"}),
}
