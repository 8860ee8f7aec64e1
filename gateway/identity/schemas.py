"""The bodies of requests. A field that isn't there in the schema is refused by name."""

from typing import Any

import jsonschema_rs

from gateway.faults import HttpError

Schema = dict[str, Any]


class Checker:
    """One schema, compiled when the gateway starts. No message repeats a value: it may be a password."""

    def __init__(self, schema: Schema) -> None:
        self._validator = jsonschema_rs.Draft7Validator(schema, mask="its value")

    def check(self, body: object) -> None:
        """Raise HttpError 400 that names the first field that is wrong."""
        try:
            self._validator.validate(body)
        except jsonschema_rs.ValidationError as error:
            path = "/".join(map(str, error.instance_path))
            where = f"Invalid input for field '{path}': " if path else "Invalid request body: "
            raise HttpError(400, f"{where}{error.message}.") from None


def thing(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def wrapped(name: str, properties: Schema, required: tuple[str, ...] = ()) -> Checker:
    """A body `{name: {...}}`."""
    return Checker(thing({name: thing(properties, required)}, (name,)))


TEXT: Schema = {"type": ["string", "null"], "maxLength": 65535}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"\S"}
ID: Schema = {"type": "string", "minLength": 1, "maxLength": 64}
MAYBE_ID: Schema = {"type": ["string", "null"], "maxLength": 64}
SWITCH: Schema = {"type": "boolean"}
SECRET: Schema = {"type": "string", "minLength": 1, "maxLength": 4096}
TAGS: Schema = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^,/]*$"},
    "maxItems": 80,
    "uniqueItems": True,
}
# None is supported; clients send an empty object.
NO_OPTIONS: Schema = {"type": "object", "maxProperties": 0}
DOMAIN_REFERENCE = thing({"id": ID, "name": NAME})
PROJECT_REFERENCE = thing({"id": ID, "name": NAME, "domain": DOMAIN_REFERENCE})

DOMAIN: Schema = {
    "name": {**NAME, "maxLength": 64},
    "description": TEXT,
    "enabled": SWITCH,
    "options": NO_OPTIONS,
}
PROJECT: Schema = {
    "name": {**NAME, "maxLength": 64},
    "domain_id": MAYBE_ID,
    "description": TEXT,
    "enabled": SWITCH,
    "is_domain": {"enum": [False]},
    "parent_id": MAYBE_ID,
    "tags": TAGS,
    "options": NO_OPTIONS,
}
USER: Schema = {
    "name": NAME,
    "domain_id": MAYBE_ID,
    "description": TEXT,
    "email": {"type": ["string", "null"], "maxLength": 255},
    "default_project_id": MAYBE_ID,
    "enabled": SWITCH,
    "password": {"type": ["string", "null"], "maxLength": 4096},
    "options": NO_OPTIONS,
}
ROLE: Schema = {
    "name": NAME,
    "description": TEXT,
    "domain_id": {"type": "null"},
    "options": NO_OPTIONS,
}

CREATE_DOMAIN = wrapped("domain", DOMAIN, ("name",))
UPDATE_DOMAIN = wrapped("domain", DOMAIN)
CREATE_PROJECT = wrapped("project", PROJECT, ("name",))
UPDATE_PROJECT = wrapped("project", PROJECT)
# project_id is what the v2 API called default_project_id; clients still send it.
CREATE_USER = wrapped("user", {**USER, "project_id": MAYBE_ID}, ("name",))
UPDATE_USER = wrapped("user", USER)
CHANGE_PASSWORD = wrapped(
    "user", {"original_password": SECRET, "password": SECRET}, ("original_password", "password")
)
CREATE_ROLE = wrapped("role", ROLE, ("name",))
UPDATE_ROLE = wrapped("role", ROLE)
CREATE_APPLICATION_CREDENTIAL = wrapped(
    "application_credential",
    {
        "name": NAME,
        "description": TEXT,
        "secret": {"type": ["string", "null"], "minLength": 1, "maxLength": 4096},
        "project_id": ID,
        "roles": {"type": "array", "items": thing({"id": ID, "name": NAME}), "maxItems": 100},
        "unrestricted": {"type": ["boolean", "null"]},
        "expires_at": {"type": ["string", "null"], "maxLength": 64},
        # Rules that narrow a credential to certain requests aren't supported.
        "access_rules": {"type": ["array", "null"], "maxItems": 0},
    },
    ("name",),
)

_USER_REFERENCE = thing({"id": ID, "name": NAME, "domain": DOMAIN_REFERENCE, "password": SECRET})
AUTHENTICATE = Checker(
    thing(
        {
            "auth": thing(
                {
                    "identity": thing(
                        {
                            "methods": {
                                "type": "array",
                                "items": {"type": "string"},
                                "minItems": 1,
                                "maxItems": 5,
                            },
                            "password": thing({"user": _USER_REFERENCE}, ("user",)),
                            "token": thing({"id": {"type": "string", "minLength": 1}}, ("id",)),
                            "application_credential": thing(
                                {
                                    "id": ID,
                                    "name": NAME,
                                    "secret": SECRET,
                                    "user": thing({"id": ID, "name": NAME, "domain": DOMAIN_REFERENCE}),
                                },
                                ("secret",),
                            ),
                        },
                        ("methods",),
                    ),
                    "scope": {
                        "anyOf": [
                            {"enum": ["unscoped"]},
                            {
                                "type": "object",
                                "properties": {
                                    "project": PROJECT_REFERENCE,
                                    "domain": DOMAIN_REFERENCE,
                                    "system": {"type": "object"},
                                    "unscoped": {"type": "object"},
                                    "OS-TRUST:trust": {"type": "object"},
                                },
                                "additionalProperties": False,
                            },
                        ]
                    },
                },
                ("identity",),
            )
        },
        ("auth",),
    )
)
