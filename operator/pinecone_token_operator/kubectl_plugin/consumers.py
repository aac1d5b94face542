"""Pods that use a target Secret, and those that will never see a new token in it. No I/O."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from pinecone_token_operator.api.moments import parse_moment
from pinecone_token_operator.kubectl_plugin.findings import Finding, Severity
from pinecone_token_operator.kubectl_plugin.resource import since
from pinecone_token_operator.targets import names

_ENDED: Final = ("Succeeded", "Failed")
_MOUNT: Final = (
    "mount the Secret as a directory, without subPath, and read the file before each use"
)

Object = Mapping[str, Any]


class Way(StrEnum):
    """How a container gets the token."""

    DIRECTORY = "directory"
    SUB_PATH = "subPath"
    ENV = "env"
    ENV_FROM = "envFrom"
    COPY = "init container's copy"


@dataclass(frozen=True, slots=True)
class Use:
    """One container's use of a target.

    Attributes:
        namespace: the pod's namespace.
        pod: the pod's name.
        owner: the workload that the pod is of, for example `Deployment/web`.
        container: the container that reads the token.
        way: how it gets the token.
        where: the mount path or the variable; empty for all variables.
        is_optional: whether the pod starts without the Secret.
        is_whole: whether each key is a file of its name.
        started_at: when the container started; None if it has not.
    """

    namespace: str
    pod: str
    owner: str
    container: str
    way: Way
    where: str
    is_optional: bool
    is_whole: bool
    started_at: datetime | None


@dataclass(frozen=True, slots=True)
class _Volume:
    is_optional: bool
    is_whole: bool


def find_uses(pods: Iterable[Object], secret: str) -> list[Use]:
    """Return all uses of a Secret by pods of its namespace that have not ended."""
    return [
        use
        for pod in pods
        if (pod.get("status") or {}).get("phase") not in _ENDED
        for use in _uses(pod, secret)
    ]


def in_uses(uses: Sequence[Use], secret: Object, now: datetime) -> Iterator[Finding]:
    """Yield the consumers of a target that will not see a new token, one finding per workload.

    Args:
        uses: the uses of the Secret.
        secret: its metadata as the API server sent it.
        now: the time.
    """
    groups: defaultdict[tuple[str, str, Way, str], list[Use]] = defaultdict(list)
    for use in uses:
        groups[use.owner, use.container, use.way, use.where].append(use)
    for group in groups.values():
        yield from _in_group(group, secret, now)


def _in_group(group: Sequence[Use], secret: Object, now: datetime) -> Iterator[Finding]:
    metadata = secret["metadata"]
    use = group[0]
    pods = "1 pod" if len(group) == 1 else f"{len(group)} pods"
    kind, _, name = use.owner.partition("/")
    subject = f"{kind} {use.namespace}/{name}"
    created_at = parse_moment(metadata.get("creationTimestamp"))
    early = [each for each in group if each.is_optional and _is_before(each, created_at)]
    if early:
        yield _started_early(early, subject, metadata["name"], since(created_at, now))
    if use.way is Way.DIRECTORY or len(early) == len(group):
        return
    refreshed_at = (metadata.get("annotations") or {}).get(names.REFRESHED_AT)
    is_stale = any(_is_before(each, parse_moment(refreshed_at)) for each in group)
    what = _PROBLEMS[use.way].format(container=use.container, where=use.where)
    if kind == "Job":
        yield Finding(
            Severity.NOTICE,
            subject,
            f"{what} ({pods}); a Job that ends before the token expires is not affected",
            _MOUNT,
        )
        return
    consequence = "and has an outdated token now" if is_stale else "and will never see a new one"
    severity = Severity.ERROR if is_stale else Severity.WARNING
    yield Finding(severity, subject, f"{what}, {consequence} ({pods})", _MOUNT)


_PROBLEMS: Final = {
    Way.SUB_PATH: "container {container} mounts the token by subPath at {where}, which the kubelet"
    " never updates",
    Way.ENV: "container {container} has the token in the environment variable {where}, which keeps"
    " the value of the container's start",
    Way.ENV_FROM: "container {container} has the token in its environment (envFrom), which keeps"
    " the values of the container's start",
    Way.COPY: "container {container} reads a copy in {where} that an init container made when the"
    " pod started",
}


def _started_early(early: Sequence[Use], subject: str, secret: str, age: str) -> Finding:
    use = early[0]
    start = (
        f"container {use.container} started before Secret {secret} was created, {age} ago"
        " (optional: true)"
    )
    if use.way is Way.DIRECTORY:
        return Finding(
            Severity.NOTICE,
            subject,
            f"{start}; the kubelet adds the files within about a minute",
            "restart it only if it looked for the file once, at its start",
        )
    missing = {
        Way.SUB_PATH: f"{use.where} is an empty directory",
        Way.ENV: f"the environment variable {use.where} is missing",
        Way.ENV_FROM: "the environment variables are missing",
        Way.COPY: f"the copy in {use.where} has no token",
    }[use.way]
    return Finding(Severity.ERROR, subject, f"{start}: {missing} until it restarts", _MOUNT)


def _is_before(use: Use, moment: datetime | None) -> bool:
    return use.started_at is not None and moment is not None and use.started_at < moment


def _uses(pod: Object, secret: str) -> Iterator[Use]:
    spec, metadata = pod["spec"], pod["metadata"]
    volumes = dict(_volumes(spec, secret))
    starts = _starts(pod)

    def use(container: Object, way: Way, where: str, *, optional: bool, whole: bool) -> Use:
        name = str(container["name"])
        return Use(
            namespace=metadata.get("namespace", ""),
            pod=metadata["name"],
            owner=_owner(metadata),
            container=name,
            way=way,
            where=where,
            is_optional=optional,
            is_whole=whole,
            started_at=starts.get(name),
        )

    running, finished = _containers(spec)
    for container in running:
        for mount in container.get("volumeMounts") or ():
            if volume := volumes.get(mount["name"]):
                partial = mount.get("subPath") or mount.get("subPathExpr")
                way = Way.SUB_PATH if partial else Way.DIRECTORY
                yield use(
                    container,
                    way,
                    str(mount["mountPath"]),
                    optional=volume.is_optional,
                    whole=volume.is_whole,
                )
        for way, where, optional in _variables(container, secret):
            yield use(container, way, where, optional=optional, whole=False)
    for container, where, optional in _copies(spec, running, finished, volumes, secret):
        yield use(container, Way.COPY, where, optional=optional, whole=False)


def _containers(spec: Object) -> tuple[list[Object], list[Object]]:
    """Return those that run as long as the pod, native sidecars included, and those that end."""
    inits: list[Object] = list(spec.get("initContainers") or ())
    sidecars = [each for each in inits if each.get("restartPolicy") == "Always"]
    return [*(spec.get("containers") or ()), *sidecars], [
        each for each in inits if each not in sidecars
    ]


def _volumes(spec: Object, secret: str) -> Iterator[tuple[str, _Volume]]:
    for volume in spec.get("volumes") or ():
        source = volume.get("secret") or {}
        if source.get("secretName") == secret:
            whole = not source.get("items")
            yield volume["name"], _Volume(is_optional=bool(source.get("optional")), is_whole=whole)
        for part in (volume.get("projected") or {}).get("sources") or ():
            source = part.get("secret") or {}
            if source.get("name") == secret:
                whole = not source.get("items")
                optional = bool(source.get("optional"))
                yield volume["name"], _Volume(is_optional=optional, is_whole=whole)


def _variables(container: Object, secret: str) -> Iterator[tuple[Way, str, bool]]:
    for variable in container.get("env") or ():
        source = (variable.get("valueFrom") or {}).get("secretKeyRef") or {}
        if source.get("name") == secret:
            yield Way.ENV, str(variable["name"]), bool(source.get("optional"))
    for each in container.get("envFrom") or ():
        source = each.get("secretRef") or {}
        if source.get("name") == secret:
            yield Way.ENV_FROM, "", bool(source.get("optional"))


def _copies(
    spec: Object,
    running: Sequence[Object],
    finished: Sequence[Object],
    volumes: Mapping[str, _Volume],
    secret: str,
) -> Iterator[tuple[Object, str, bool]]:
    """Yield containers that share an emptyDir with an init container that has the token.

    A container that mounts the target itself has no need of the copy.
    """
    scratch = {each["name"] for each in spec.get("volumes") or () if "emptyDir" in each}
    copied: dict[str, bool] = {}
    for init in finished:
        mounted = {each["name"] for each in init.get("volumeMounts") or ()}
        optional = [volumes[name].is_optional for name in mounted & volumes.keys()]
        optional += [each for *_, each in _variables(init, secret)]
        if optional:
            copied |= dict.fromkeys(mounted & scratch, all(optional))
    for container in running:
        mounts = container.get("volumeMounts") or ()
        if any(each["name"] in volumes for each in mounts):
            continue
        for mount in mounts:
            if mount["name"] in copied:
                yield container, str(mount["mountPath"]), copied[mount["name"]]


def _owner(metadata: Object) -> str:
    """Return the workload of a pod; a ReplicaSet's name is its Deployment's and a hash."""
    owners = metadata.get("ownerReferences") or ()
    owner = next((each for each in owners if each.get("controller")), None)
    if owner is None:
        return f"Pod/{metadata['name']}"
    suffix = (metadata.get("labels") or {}).get("pod-template-hash")
    if owner["kind"] == "ReplicaSet" and suffix and owner["name"].endswith(f"-{suffix}"):
        return f"Deployment/{owner['name'].removesuffix(f'-{suffix}')}"
    return f"{owner['kind']}/{owner['name']}"


def _starts(pod: Object) -> dict[str, datetime | None]:
    status = pod.get("status") or {}
    statuses = [
        *(status.get("containerStatuses") or ()),
        *(status.get("initContainerStatuses") or ()),
    ]
    return {
        each["name"]: parse_moment(
            ((each.get("state") or {}).get("running") or {}).get("startedAt")
        )
        for each in statuses
    }
