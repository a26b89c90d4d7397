FROM python:3.11.14-slim-bookworm AS server

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app

# The pinned CPU builds of torch and torchvision first: PyPI's would bring gigabytes of CUDA libraries.
# What teaching needs goes in, too: whoever opens the page Teach cannot install it here.
# With --build-arg CLUSTER=1 what a cluster needs, too (docs/SCALING.md).
ARG CLUSTER
COPY requirements.txt requirements-train.txt requirements-cluster.txt ./
RUN grep -E '^torch(vision)?==' requirements.txt > /tmp/torch.txt \
    && pip install --index-url https://download.pytorch.org/whl/cpu -r /tmp/torch.txt \
    && pip install --prefer-binary -r requirements-train.txt ${CLUSTER:+-r requirements-cluster.txt}

COPY app/ app/
COPY static/ static/
COPY templates/ templates/
COPY gunicorn.conf.py wsgi.py ./

# The base weights go into torch's hub cache, outside /models: a volume mounted there does not hide them.
# Without a network this says so and goes on, and the packaged EfficientNet-Lite0 answers.
ENV TORCH_HOME=/opt/torch
RUN MODELS_DIR=/opt/torch/hub/checkpoints python -m app fetch-weights

# The software bill of materials (CycloneDX), written by a tool that the server goes without.
FROM server AS bill
RUN python -m venv /bill && /bill/bin/pip install cyclonedx-bom==7.5.0 \
    && /bill/bin/cyclonedx-py environment --output-reproducible --of JSON -o /bill/sbom.cdx.json /usr/local/bin/python

FROM server
COPY --from=bill /bill/sbom.cdx.json /usr/share/wanwu/sbom.cdx.json
RUN useradd --system --uid 10001 --no-create-home wanwu && install -d -o wanwu -g wanwu /models
USER wanwu
VOLUME /models
ENV HOST=0.0.0.0 PORT=8000 MODELS_DIR=/models
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/readyz', timeout=4)"]
CMD ["python", "-m", "app", "serve"]
