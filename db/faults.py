"""Which errors of a database pass by themselves."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError

# MySQL and MariaDB client and server errors: too many connections, lock wait timeout, deadlock, shutdown,
# gone away, can't connect, lost connection.
_MYSQL_CODES = frozenset({1040, 1053, 1077, 1079, 1152, 1205, 1213, 1290, 2002, 2003, 2006, 2013, 2014, 2055})
# PostgreSQL: connection exceptions (08), insufficient resources (53), operator intervention (57P),
# serialization failure and deadlock (40), lock not available.
_POSTGRESQL_CLASSES = ("08", "53", "57P", "40", "55P03")


def passes(error: Exception) -> bool:
    """True when the same unit of work may succeed later: locks, deadlocks, lost connections, a server that
    starts."""
    if isinstance(error, TimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    cause = error.orig
    state = getattr(cause, "sqlstate", None)
    if state:
        return str(state).startswith(_POSTGRESQL_CLASSES)
    code = cause.args[0] if cause is not None and cause.args else None
    if isinstance(code, int):
        return code in _MYSQL_CODES
    if locked(error):
        return True
    # psycopg has no sqlstate for a server that can't be reached.
    return type(cause).__module__.startswith("psycopg") and isinstance(
        error, OperationalError | InterfaceError
    )


def locked(error: Exception) -> bool:
    """True for SQLite's busy and locked."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlite_errorname", "").startswith(
        ("SQLITE_BUSY", "SQLITE_LOCKED")
    )
