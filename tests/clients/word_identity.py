"""Just enough of Keystone v3 for clients to log in to another service under test.

A user's password is a token of tests/image_cloud.py, and so is the token that
the login answers with. The catalogue has one service.
"""

from aiohttp import web

from tests.image_cloud import TOKENS

_EXPIRES = "2099-01-01T00:00:00.000000Z"


def build_word_identity(service_type: str, service_url: str) -> web.Application:
    """The application; `service_url` is what the catalogue says."""

    async def version(request: web.Request) -> web.Response:
        link = {"rel": "self", "href": f"http://{request.host}/v3/"}
        return web.json_response({"version": {"id": "v3.14", "status": "stable", "links": [link]}})

    async def login(request: web.Request) -> web.Response:
        body = await request.json()
        word = body["auth"]["identity"]["password"]["user"]["password"]
        context = TOKENS.get(word)
        if context is None:
            return web.json_response({"error": {"code": 401, "message": "no"}}, status=401)
        endpoint = {"interface": "public", "region": "one", "region_id": "one", "url": service_url, "id": "e"}
        keystone = {**endpoint, "url": f"http://{request.host}/v3"}
        token = {
            "methods": ["password"],
            "expires_at": _EXPIRES,
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {"id": context.user_id, "name": word, "domain": {"id": "default", "name": "Default"}},
            "project": {
                "id": context.project_id,
                "name": context.project_id,
                "domain": {"id": "default", "name": "Default"},
            },
            "roles": [{"id": role, "name": role} for role in context.roles],
            "catalog": [
                {"type": service_type, "name": service_type, "id": "s", "endpoints": [endpoint]},
                {"type": "identity", "name": "identity", "id": "i", "endpoints": [keystone]},
            ],
        }
        return web.json_response({"token": token}, status=201, headers={"X-Subject-Token": word})

    async def project(request: web.Request) -> web.Response:
        name = request.match_info["project"]
        shown = {"id": name, "name": name, "domain_id": "default", "enabled": True}
        return web.json_response({"project": shown})

    app = web.Application()
    app.router.add_get("/v3", version)
    app.router.add_get("/v3/", version)
    app.router.add_post("/v3/auth/tokens", login)
    app.router.add_get("/v3/projects/{project}", project)
    return app
