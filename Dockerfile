# syntax=docker/dockerfile:1
# Two stages. In the first, tools stay in an environment of their own (/tools), and the locked runtime dependencies and
# our code go, hash-checked, into another (/venv). The second holds only Python and /venv, and runs as a user that owns
# nothing; nothing is ever written, so the root file system may be read-only. `make image` checks all of this.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements requirements
RUN python -m venv /tools \
 && /tools/bin/pip install --no-cache-dir --require-hashes -r requirements/bootstrap.lock -r requirements/image.lock
RUN python -m venv --without-pip /venv \
 && /tools/bin/uv pip install --no-cache --python /venv/bin/python --compile-bytecode --require-hashes -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY schema schema
COPY ops ops
COPY ingress ingress
COPY processor processor
COPY projections projections
RUN /tools/bin/uv pip install --no-cache --python /venv/bin/python --compile-bytecode --no-deps . \
 && /tools/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible -o /venv/sbom.cdx.json /venv/bin/python

FROM python:3.12-slim
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8080
# Of the door; a processor or projector is asked at its METRICS_PORT (compose.yaml).
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["python", "-m", "ops.healthy"]
CMD ["python", "-m", "ingress"]
