"""Who may call the metadata role: full method name to the roles that may."""

_SERVICE = "/novamesh.metadata.v1.MetadataService"

ROWS: dict[str, frozenset[str]] = {
    f"{_SERVICE}/GetMetadata": frozenset({"gateway", "metadata", "admin"}),
    f"{_SERVICE}/GetConfigDrive": frozenset({"compute"}),
    f"{_SERVICE}/SetPassword": frozenset({"gateway", "metadata"}),
}
