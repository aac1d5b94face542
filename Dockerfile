# syntax=docker/dockerfile:1
# Both stages use the same image, because a virtual environment points at its Python.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS builder
WORKDIR /src
# Without pip, which the operator does not need at run time.
RUN python -m venv --without-pip /opt/venv
# Before the source, so that a change of code does not fetch the dependencies again.
COPY requirements/build.txt requirements/run.txt requirements/
RUN python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
        --require-hashes -r requirements/run.txt \
    && python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist . \
    && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps \
        /dist/*.whl \
    # Bytecode that names no time, so that a build that changes times of files neither differs from
    # the last one nor has its modules compiled at each start.
    && python -m compileall -qf --invalidation-mode unchecked-hash /opt/venv/lib

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="pinecone-token-operator" \
      org.opencontainers.image.description="Keeps a fresh Pinecone access token in a Kubernetes Secret." \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# The root file system is read-only in the chart; the modules were compiled above.
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=builder /opt/venv /opt/venv
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/opt/venv/bin/pinecone-token-operator"]
CMD ["run"]
