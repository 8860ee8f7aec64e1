"""Who may call the gateway role: full method name to the roles that may."""

ROWS: dict[str, frozenset[str]] = {}
