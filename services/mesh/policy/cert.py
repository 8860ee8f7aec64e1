"""Who may call the cert role: full method name to the roles that may."""

from services.mesh.policy.roles import EVERYBODY

_ADMIN = frozenset({"admin"})
_GATEWAY = frozenset({"gateway"})
_BUNDLES = frozenset({"gateway", "objectstore"})

ROWS: dict[str, frozenset[str]] = {
    # The one rpc for callers without a certificate; its port serves nothing else.
    "/novamesh.cert.v1.JoinService/IssueCertificate": frozenset({"stranger"}),
    "/novamesh.cert.v1.CertificateService/RenewCertificate": EVERYBODY,
    "/novamesh.cert.v1.CertificateService/GetRootCertificate": EVERYBODY,
    "/novamesh.cert.v1.CertificateService/CreateJoinToken": _ADMIN,
    "/novamesh.cert.v1.CertificateService/ListJoinTokens": _ADMIN,
    "/novamesh.cert.v1.CertificateService/DeleteJoinToken": _ADMIN,
    "/novamesh.cert.v1.UserCertificateService/CreateUserCertificate": _GATEWAY,
    "/novamesh.cert.v1.UserCertificateService/GetProjectRootCertificate": _BUNDLES,
    "/novamesh.cert.v1.UserCertificateService/GetRevocationList": _GATEWAY,
    "/novamesh.cert.v1.UserCertificateService/RevokeUserCertificates": _GATEWAY | _ADMIN,
    "/novamesh.cert.v1.UserCertificateService/DecryptBundleKey": _BUNDLES,
}
