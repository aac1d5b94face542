# syntax=docker/dockerfile:1
# A tag and no digest: a digest would also pin the security holes of the day it was written down, and
# nothing here renews it. For a release, pass one as a build argument; docs/installation.md shows how.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS builder
WORKDIR /src
# Without pip: it is not needed at run time.
RUN python -m venv --without-pip /opt/venv
# Before the source, so that a code change does not reinstall the dependencies.
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
        --require-hashes -r requirements/run.txt \
    && python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps \
        /dist/*.whl
COPY image image
RUN python image/minimal_root.py /opt/venv /opt/root \
    && chroot /opt/root /opt/venv/bin/python -Bc "import pinecone_token_operator.runtime.manager, pinecone_token_operator.runtime.sidecar.manager"

FROM scratch
LABEL org.opencontainers.image.title="pinecone-token-operator" \
      org.opencontainers.image.description="Keeps a fresh Pinecone access token in a Kubernetes Secret." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# The modules are compiled already, and the chart makes the root filesystem read-only.
# The threshold is glibc's own; given, it does not grow. Then the buffers of TLS connections, 256 KiB
# each, are returned to the system when the connections are closed.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_MMAP_THRESHOLD_=131072
COPY --from=builder /opt/root /
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/opt/venv/bin/pinecone-token-operator"]
CMD ["run"]
