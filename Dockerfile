# syntax=docker/dockerfile:1
# Two stages: the locked runtime dependencies are installed (hash-checked) in the first; the second holds only
# Python, them and our code, and runs as a user that owns nothing.
FROM python:3.12-slim AS build
WORKDIR /src
COPY requirements/bootstrap.lock requirements/runtime.lock requirements/
RUN python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements/bootstrap.lock \
 && /venv/bin/uv pip install --python /venv/bin/python --require-hashes -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY schema schema
COPY ops ops
COPY ingress ingress
COPY processor processor
COPY projections projections
RUN /venv/bin/uv pip install --python /venv/bin/python --no-deps . && rm /venv/bin/uv

FROM python:3.12-slim
RUN useradd --system --uid 10001 c2s
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER c2s
EXPOSE 8080
CMD ["python", "-m", "ingress"]
