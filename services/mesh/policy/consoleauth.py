"""Who may call the consoleauth role: full method name to the roles that may."""

_SERVICE = "/novamesh.consoleauth.v1.ConsoleTokenService"

ROWS: dict[str, frozenset[str]] = {
    f"{_SERVICE}/AuthorizeConsole": frozenset({"gateway"}),
    f"{_SERVICE}/ValidateToken": frozenset({"gateway", "consoles"}),
    f"{_SERVICE}/RevokeTokens": frozenset({"conductor", "admin"}),
    f"{_SERVICE}/ListTokens": frozenset({"admin"}),
}
