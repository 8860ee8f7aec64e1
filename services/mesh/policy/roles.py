"""The roles that a certificate may name."""

# Processes of the cloud.
MESH_ROLES = frozenset(
    {
        "gateway",
        "conductor",
        "compute",
        "scheduler",
        "network",
        "metadata",
        "identity",
        "image",
        "cert",
        "consoleauth",
        "consoles",
        "objectstore",
    }
)
# A person with grpcurl and the certificate of `novamesh ca`.
ADMIN = "admin"
EVERYBODY = MESH_ROLES | {ADMIN}

# Roles that run beside guests, or answer them. They may pass an end user on, never an administrator.
EXPOSED_ROLES = frozenset({"compute", "network", "metadata", "consoles"})
