"""The services of identity's records, as the conductor serves them."""

from collections.abc import Sequence

from db.database import Database
from novamesh.conductor.v1 import (
    application_credential_service_pb2,
    authentication_service_pb2,
    domain_service_pb2,
    project_service_pb2,
    revocation_service_pb2,
    role_service_pb2,
    user_service_pb2,
)
from services.conductor.application_credentials import ApplicationCredentialServicer
from services.conductor.authentication import AuthenticationServicer
from services.conductor.domains import DomainServicer
from services.conductor.projects import ProjectServicer
from services.conductor.revocations import RevocationFeed, RevocationServicer
from services.conductor.roles import RoleServicer
from services.conductor.users import UserServicer
from services.mesh import Binding


def identity_bindings(database: Database) -> Sequence[Binding]:
    """One binding a noun; they share the feed that wakes the watchers of revocations."""
    feed = RevocationFeed()
    return [
        Binding(
            application_credential_service_pb2.DESCRIPTOR.services_by_name["ApplicationCredentialService"],
            ApplicationCredentialServicer(database, feed),
        ),
        Binding(
            authentication_service_pb2.DESCRIPTOR.services_by_name["AuthenticationService"],
            AuthenticationServicer(database, feed),
        ),
        Binding(
            domain_service_pb2.DESCRIPTOR.services_by_name["DomainService"], DomainServicer(database, feed)
        ),
        Binding(
            project_service_pb2.DESCRIPTOR.services_by_name["ProjectService"], ProjectServicer(database, feed)
        ),
        Binding(
            revocation_service_pb2.DESCRIPTOR.services_by_name["RevocationService"],
            RevocationServicer(database, feed),
        ),
        Binding(role_service_pb2.DESCRIPTOR.services_by_name["RoleService"], RoleServicer(database, feed)),
        Binding(user_service_pb2.DESCRIPTOR.services_by_name["UserService"], UserServicer(database, feed)),
    ]
