"""The Identity API v3 as an aiohttp application."""

from aiohttp import web

from gateway.auth import Authenticator
from gateway.identity.application_credentials import ApplicationCredentialResource
from gateway.identity.catalog import CatalogResource
from gateway.identity.documents import DocumentResource
from gateway.identity.domains import DomainResource
from gateway.identity.edge import Edge
from gateway.identity.options import IdentityApiOptions
from gateway.identity.projects import ProjectResource
from gateway.identity.role_assignments import RoleAssignmentResource
from gateway.identity.roles import RoleResource
from gateway.identity.tokens import TokenResource
from gateway.identity.unsupported import UnsupportedResource
from gateway.identity.users import UserResource
from services.mesh import Node


def build_identity_app(
    node: Node, authenticator: Authenticator, options: IdentityApiOptions
) -> web.Application:
    """The application; the caller serves it on options.bind_host and bind_port.

    `node` reaches identity and the conductor; `authenticator` has been started. Raises OSError or
    ValueError that names the policy file when it can't be used.
    """
    edge = Edge(node, authenticator, options)
    app = web.Application(client_max_size=options.max_request_body_size, middlewares=[edge.render_unrouted])
    for resource in (
        DocumentResource(edge),
        TokenResource(edge),
        CatalogResource(edge),
        DomainResource(edge),
        ProjectResource(edge),
        UserResource(edge),
        RoleResource(edge),
        RoleAssignmentResource(edge),
        ApplicationCredentialResource(edge),
        UnsupportedResource(edge),
    ):
        app.add_routes(resource.routes())
    return app
