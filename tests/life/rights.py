"""Which requests of the operator the API server refuses for lack of permission."""

from dataclasses import dataclass
from typing import Final

from tests.life.paths import Target, parse
from tests.life.refused import RefusedError

ANY: Final = "*"
_VERBS: Final = {"GET": "get", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission as RBAC knows it; `ANY` stands for all.

    Attributes:
        verb: such as get, list, watch, create or patch.
        resource: plural, with a subresource if any, such as `pineconeaccesstokens/status`.
        namespace: where.
        name: of the object.
    """

    verb: str = ANY
    resource: str = ANY
    namespace: str = ANY
    name: str = ANY

    def covers(self, verb: str, target: Target) -> bool:
        return (
            self.verb in (verb, ANY)
            and self.resource in (target.resource, ANY)
            and self.namespace in (target.namespace, ANY)
            and self.name in (target.name, ANY)
        )


class Rights:
    """The operator's permissions: everything but what was revoked.

    Attributes:
        revoked: the permissions that the operator lacks.
        unauthorized: the status of every refusal, 403; 401 if the token is not accepted.
    """

    def __init__(self) -> None:
        self.revoked: set[Permission] = set()

    def check(self, verb: str, path: str) -> None:
        """Raise if the operator may not do this.

        Args:
            verb: of RBAC or an HTTP method.
            path: of the object or the collection.

        Raises:
            RefusedError: 403.
        """
        target, verb = parse(path), _VERBS.get(verb, verb)
        if any(permission.covers(verb, target) for permission in self.revoked):
            raise RefusedError(
                403,
                "Forbidden",
                f'{target.resource} "{target.name}" is forbidden: User '
                f'"system:serviceaccount:pinecone:operator" cannot {verb} resource '
                f'"{target.resource}" in API group "{target.group}" in the namespace '
                f'"{target.namespace}"',
            )
