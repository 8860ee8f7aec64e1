"""Who may call the scheduler role: full method name to the roles that may."""

ROWS: dict[str, frozenset[str]] = {
    "/novamesh.scheduler.v1.DestinationService/SelectDestinations": frozenset({"conductor", "admin"}),
}
