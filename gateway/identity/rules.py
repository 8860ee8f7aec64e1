"""Who may do what: Keystone's rule names, with its defaults for clouds without system scope."""

from gateway.policy import ADMIN_RULE, Rule

_ADMIN = "rule:admin_required"
_SELF = "rule:admin_required or user_id:%(user_id)s"
_OWN_PROJECT = "rule:admin_required or project_id:%(project_id)s"

RULES = (
    Rule(ADMIN_RULE, "role:admin", "Who is an administrator of the cloud."),
    Rule("admin_required", "role:admin", "Who may administer identity."),
    Rule(
        "identity:validate_token",
        "rule:admin_required or role:service or user_id:%(user_id)s",
        "Read a token.",
    ),
    Rule(
        "identity:check_token", "rule:admin_required or role:service or user_id:%(user_id)s", "Check a token."
    ),
    Rule("identity:revoke_token", _SELF, "End a token."),
    Rule("identity:get_domain", _OWN_PROJECT, "Show a domain; an own one is that of the token's project."),
    Rule("identity:list_domains", _ADMIN, "List domains."),
    Rule("identity:create_domain", _ADMIN, "Make a domain."),
    Rule("identity:update_domain", _ADMIN, "Change a domain."),
    Rule("identity:delete_domain", _ADMIN, "Delete a domain."),
    Rule("identity:get_project", _OWN_PROJECT, "Show a project."),
    Rule("identity:list_projects", _ADMIN, "List all projects."),
    Rule("identity:list_user_projects", _SELF, "List the projects of a user."),
    Rule("identity:create_project", _ADMIN, "Make a project."),
    Rule("identity:update_project", _ADMIN, "Change a project."),
    Rule("identity:delete_project", _ADMIN, "Delete a project."),
    Rule("identity:get_user", _SELF, "Show a user."),
    Rule("identity:list_users", _ADMIN, "List users."),
    Rule("identity:create_user", _ADMIN, "Make a user."),
    Rule("identity:update_user", _ADMIN, "Change a user, the password included."),
    Rule("identity:delete_user", _ADMIN, "Delete a user."),
    Rule("identity:get_role", _ADMIN, "Show a role, and what it implies."),
    Rule("identity:list_roles", _ADMIN, "List roles, and what they imply."),
    Rule("identity:create_role", _ADMIN, "Make a role."),
    Rule("identity:update_role", _ADMIN, "Change a role, and what it implies."),
    Rule("identity:delete_role", _ADMIN, "Delete a role."),
    Rule("identity:list_role_assignments", _ADMIN, "List who has which role."),
    Rule("identity:check_grant", _ADMIN, "Check whether a user has a role."),
    Rule("identity:list_grants", _ADMIN, "List a user's roles on a project or a domain."),
    Rule("identity:create_grant", _ADMIN, "Give a role."),
    Rule("identity:revoke_grant", _ADMIN, "Take a role back."),
    Rule("identity:get_application_credential", _SELF, "Show an application credential."),
    Rule("identity:list_application_credentials", _SELF, "List application credentials."),
    Rule("identity:create_application_credential", "user_id:%(user_id)s", "Make an application credential."),
    Rule("identity:delete_application_credential", _SELF, "Delete an application credential."),
    Rule("identity:list_services", _ADMIN, "List and show services."),
    Rule("identity:list_endpoints", _ADMIN, "List and show endpoints."),
)
