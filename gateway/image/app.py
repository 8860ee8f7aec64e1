"""The Image API v2 as an aiohttp application."""

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.faults import HttpError
from gateway.image.data import DataResource
from gateway.image.documents import DocumentResource
from gateway.image.edge import Edge, Recognizes, render
from gateway.image.images import ImageResource
from gateway.image.members import MemberResource
from gateway.image.options import ImageApiOptions
from services.mesh import Node


def build_image_app(node: Node, authenticator: Recognizes, options: ImageApiOptions) -> web.Application:
    """The application; the caller serves it on options.bind_host and bind_port.

    `node` reaches the image role; `authenticator` has been started. Raises OSError or
    ValueError that names the policy file when it can't be used.
    """
    edge = Edge(node, authenticator, options)
    app = web.Application(client_max_size=options.max_request_body_size, middlewares=[_render_unrouted])
    for resource in (DocumentResource(edge), ImageResource(edge), DataResource(edge), MemberResource(edge)):
        app.add_routes(resource.routes())
    return app


@web.middleware
async def _render_unrouted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """aiohttp's own answers to unknown paths and methods, in Glance's form."""
    try:
        return await handler(request)
    except HttpError as error:
        return render(request, error)
    except web.HTTPMethodNotAllowed as error:
        allowed = {"Allow": ", ".join(sorted(error.allowed_methods))}
        return render(
            request, HttpError(405, "The method is not allowed for this resource.", headers=allowed)
        )
    except web.HTTPNotFound:
        return render(request, HttpError(404, "The resource could not be found."))
