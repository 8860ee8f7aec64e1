"""Who may call the identity role: full method name to the roles that may."""

ROWS: dict[str, frozenset[str]] = {
    "/novamesh.identity.v1.TokenService/IssueToken": frozenset({"gateway", "admin"}),
    "/novamesh.identity.v1.TokenService/ValidateToken": frozenset({"gateway", "admin"}),
    "/novamesh.identity.v1.TokenService/RevokeToken": frozenset({"gateway", "admin"}),
    "/novamesh.identity.v1.TokenService/GetSigningKeys": frozenset({"gateway", "admin"}),
    "/novamesh.identity.v1.TokenService/WatchRevocations": frozenset({"gateway"}),
    "/novamesh.identity.v1.CredentialService/CreateUser": frozenset({"gateway", "admin"}),
    "/novamesh.identity.v1.CredentialService/SetPassword": frozenset({"gateway", "admin"}),
    "/novamesh.identity.v1.CredentialService/ChangePassword": frozenset({"gateway"}),
    "/novamesh.identity.v1.CredentialService/CreateApplicationCredential": frozenset({"gateway", "admin"}),
}
