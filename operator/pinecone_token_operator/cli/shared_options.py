"""Options that several commands have, in groups."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from pinecone_token_operator.cli.options import Option
from pinecone_token_operator.config import proxies, validators
from pinecone_token_operator.config.settings import Endpoint
from pinecone_token_operator.errors import SettingsInvalid

T = TypeVar("T")

ENDPOINT: Final = (
    Option(
        "token-url",
        "URL",
        validators.token_url,
        "token endpoint; https, or plain http on a loopback address",
        default="https://login.pinecone.io/oauth/token",
    ),
    Option(
        "audience",
        "TEXT",
        validators.audience,
        "audience to request tokens for",
        default="https://api.pinecone.io/",
    ),
    Option(
        "api-version",
        "VERSION",
        validators.api_version,
        "value of the X-Pinecone-Api-Version header",
        default="2025-04",
    ),
    Option(
        "ca-bundle",
        "FILE",
        validators.ca_bundle,
        "PEM file of the CA certificates to trust for the token endpoint and for an https proxy; "
        "by default those of SSL_CERT_FILE and SSL_CERT_DIR, or else the public CAs",
    ),
)

KUBECONFIG: Final = Option(
    "kubeconfig",
    "FILE",
    validators.existing_file,
    "kubeconfig to use outside a cluster; by default the pod's service account, and without one "
    "the kubeconfig that kubectl would use",
)

KUBERNETES: Final = (
    KUBECONFIG,
    Option(
        "context",
        "NAME",
        validators.not_blank,
        "context of the kubeconfig; by default its current one",
    ),
)

LOGGING: Final = (
    Option(
        "log-level",
        "LEVEL",
        validators.log_level,
        ", ".join(validators.LOG_LEVELS),
        default="info",
    ),
    Option(
        "log-format",
        "FORMAT",
        validators.log_format,
        "auto, json or text; auto means json in a pod or without a terminal",
        default="auto",
    ),
)


def endpoint(values: Mapping[str, Any], environ: Mapping[str, str]) -> Endpoint:
    """Return the endpoint from the values of `ENDPOINT` and the usual variables of an environment.

    Raises:
        SettingsInvalid: a proxy or TLS variable cannot be used; the message names it.
    """
    url, bundle, directory = values["token_url"], values["ca_bundle"], None
    if bundle is None:
        bundle = _from_variable("SSL_CERT_FILE", validators.ca_bundle, environ)
        directory = _from_variable("SSL_CERT_DIR", validators.ca_directory, environ)
    # Python opens this file whenever it creates an SSL context.
    _from_variable("SSLKEYLOGFILE", validators.appendable_file, environ)
    return Endpoint(
        token_url=url,
        audience=values["audience"],
        api_version=values["api_version"],
        ca_bundle=bundle,
        ca_directory=directory,
        proxy=proxies.read(environ).for_endpoint(url),
    )


def _from_variable(
    variable: str, validate: Callable[[str], T], environ: Mapping[str, str]
) -> T | None:
    if not (text := environ.get(variable)):
        return None
    try:
        return validate(text)
    except validators.InvalidValue as error:
        raise SettingsInvalid(f"{variable}: {error}") from error.__cause__
