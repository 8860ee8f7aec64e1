"""What users may do: oslo.policy's rules, with decisions remembered.

A decision depends on little: the rule, the roles, and whether the thing belongs to the
caller's project and to the caller. So each is made once and then costs a dictionary look-up.
A rule that asks for more than that (a policy.yaml may) is decided anew every time.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from oslo_config import cfg
from oslo_policy import policy as oslo

from gateway.faults import HttpError
from novamesh.types.v1.request_context_pb2 import RequestContext

log = structlog.get_logger("novamesh.gateway")

ADMIN_RULE = "context_is_admin"
_CACHE_SIZE = 20_000
# oslo.policy keeps the classes of these checks to itself, so they are learned from checks.
_SAMPLES = oslo.Rules.from_dict({"role": "role:x", "compare": "a:b", "always": "@", "never": "!"})
_COMPARE: Any = type(_SAMPLES["compare"])
_SIMPLE = (type(_SAMPLES["role"]), type(_SAMPLES["always"]), type(_SAMPLES["never"]))
# Comparisons whose outcome the key of a remembered decision holds.
_PLAIN = frozenset(
    {
        ("project_id", "%(project_id)s"),
        ("tenant_id", "%(project_id)s"),
        ("user_id", "%(user_id)s"),
        ("is_admin", "True"),
        ("is_admin", "False"),
    }
)


@dataclass(frozen=True)
class Rule:
    """One rule with the check that holds where policy.yaml says nothing."""

    name: str
    check: str
    description: str
    deprecated: str = ""
    """An older name: what policy.yaml says of it holds for a rule that it does not name itself."""


@dataclass(frozen=True)
class EffectiveRule:
    """A rule as it is in force. One that only policy.yaml knows has neither default nor description."""

    name: str
    check: str
    default: str
    description: str
    overridden: bool


def _log_note(text: str) -> None:
    log.info("policy file read", note=text)


class Policy:
    """The rules in force. Read once; a changed policy.yaml needs a restart of the gateway."""

    def __init__(
        self,
        defaults: Iterable[Rule],
        policy_file: Path | None = None,
        note: Callable[[str], None] = _log_note,
    ) -> None:
        """`note` is told what in the file may not be meant.

        Raises OSError or ValueError that names the file when it can't be used.
        """
        self._note = note
        self._defaults = {rule.name: rule for rule in defaults}
        texts: dict[str, str] = {name: rule.check for name, rule in self._defaults.items()}
        rules = oslo.Rules.from_dict(texts)
        self._loaded: Mapping[str, Any] = {} if policy_file is None else self._load(policy_file)
        rules.update(self._loaded)
        self._enforcer = oslo.Enforcer(cfg.ConfigOpts(), use_conf=False)
        self._enforcer.set_rules(rules, use_conf=False)
        self._rules = rules
        self._plain = {name: self._is_plain(check, frozenset()) for name, check in rules.items()}
        self._of_users = frozenset(
            name for name, check in rules.items() if self._is_of_users(check, frozenset())
        )
        self._decisions: dict[tuple[object, ...], bool] = {}

    def __contains__(self, rule: str) -> bool:
        return rule in self._rules

    def asks_for_user(self, rule: str) -> bool:
        """Whether the outcome depends on whose the thing is, beyond its project."""
        return rule in self._of_users

    def effective(self) -> list[EffectiveRule]:
        """Every rule in force, by name."""
        found = []
        for name, check in sorted(self._rules.items()):
            known = self._defaults.get(name)
            overridden = name in self._loaded
            found.append(
                EffectiveRule(
                    name,
                    str(check) if overridden or known is None else known.check,
                    known.check if known else "",
                    known.description if known else "",
                    overridden,
                )
            )
        return found

    def allows(
        self,
        rule: str,
        context: RequestContext,
        *,
        roles: tuple[str, ...] | None = None,
        project_id: str | None = None,
        user_id: str | None = None,
    ) -> bool:
        """Whether the rule lets this user act on what belongs to `project_id` and `user_id`.

        None stands for the caller's own. `roles` is `tuple(context.roles)`, for callers that have it.
        """
        same_project = project_id is None or project_id == context.project_id
        same_user = user_id is None or user_id == context.user_id
        held = tuple(context.roles) if roles is None else roles
        key = (rule, held, same_project, same_user, context.is_admin)
        known = self._decisions.get(key)
        if known is not None:
            return known
        decision = self._decide(rule, context, project_id, user_id)
        if self._plain.get(rule, False):
            if len(self._decisions) >= _CACHE_SIZE:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision

    def require(self, rule: str, context: RequestContext, *, project_id: str | None = None) -> None:
        """Raise HttpError 403 unless the rule allows it."""
        if not self.allows(rule, context, project_id=project_id):
            raise HttpError(403, f"Policy doesn't allow {rule} to be performed.")

    def _decide(
        self, rule: str, context: RequestContext, project_id: str | None, user_id: str | None
    ) -> bool:
        credentials: dict[str, Any] = {
            "roles": list(context.roles),
            "project_id": context.project_id,
            "tenant_id": context.project_id,
            "user_id": context.user_id,
            "user_domain_id": context.user_domain_id,
            "project_domain_id": context.project_domain_id,
            "is_admin": context.is_admin,
        }
        target = {
            "project_id": context.project_id if project_id is None else project_id,
            "user_id": context.user_id if user_id is None else user_id,
        }
        return bool(self._enforcer.enforce(rule, target, credentials))

    def _load(self, path: Path) -> Mapping[str, Any]:
        try:
            written: Mapping[str, Any] = oslo.Rules.load(path.read_text())
        except ValueError as error:
            raise ValueError(f"policy file {path}: {error}") from error
        except (AttributeError, TypeError) as error:
            # oslo.policy takes for granted that it is a map.
            raise ValueError(f"policy file {path}: it is not a map of rules to checks") from error
        loaded = dict(written)
        older = {rule.deprecated for rule in self._defaults.values()}
        for name in sorted(written.keys() - self._defaults.keys() - older):
            self._note(f"policy file {path}: {name} is no rule of this API")
        for rule in self._defaults.values():
            old = written.get(rule.deprecated)
            if old is None or rule.name in written:
                continue
            if isinstance(old, oslo.RuleCheck) and old.match == rule.name:
                # The old name refers to the new one, which keeps its default.
                continue
            self._note(f"policy file {path}: {rule.deprecated} is an older name of {rule.name}")
            loaded[rule.name] = old
        return loaded

    def _is_plain(self, check: Any, seen: frozenset[str]) -> bool:
        """Whether the outcome depends on nothing but what a decision's key holds."""
        if isinstance(check, _SIMPLE):
            return "%(" not in str(check)
        if isinstance(check, oslo.AndCheck | oslo.OrCheck):
            return all(self._is_plain(part, seen) for part in check.rules)
        if isinstance(check, oslo.NotCheck):
            return self._is_plain(check.rule, seen)
        if isinstance(check, oslo.RuleCheck):
            if check.match in seen or check.match not in self._rules:
                return False
            return self._is_plain(self._rules[check.match], seen | {check.match})
        if isinstance(check, _COMPARE):
            return (check.kind, check.match) in _PLAIN
        return False

    def _is_of_users(self, check: Any, seen: frozenset[str]) -> bool:
        if isinstance(check, oslo.AndCheck | oslo.OrCheck):
            return any(self._is_of_users(part, seen) for part in check.rules)
        if isinstance(check, oslo.NotCheck):
            return self._is_of_users(check.rule, seen)
        if isinstance(check, oslo.RuleCheck):
            known = check.match in self._rules and check.match not in seen
            return known and self._is_of_users(self._rules[check.match], seen | {check.match})
        return "%(user_id)s" in str(check)
