# lookalike as a server, on a CPU. Checked by tests/test_containers.py as far as that goes without
# Docker; nobody has built or run this image yet.
#
#   docker build -t lookalike .
#   docker run -p 127.0.0.1:8077:8077 -e LOOKALIKE_SERVE_TOKEN -v ~/Pictures:/pictures:ro \
#     -v lookalike:/data lookalike

FROM python:3.11.14-slim-bookworm AS build
RUN python -m venv /opt/lookalike
COPY pyproject.toml constraints.txt README.md LICENSE /build/
COPY src /build/src
RUN /opt/lookalike/bin/pip install --no-cache-dir -c /build/constraints.txt '/build[server]'

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/lookalike /opt/lookalike
RUN useradd --uid 10001 --create-home lookalike \
    && install --directory --owner lookalike /data /pictures
ENV PATH=/opt/lookalike/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    XDG_DATA_HOME=/data \
    XDG_CACHE_HOME=/data/cache
USER lookalike
VOLUME /data
EXPOSE 8077
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8077/healthz', timeout=4)"]
ENTRYPOINT ["lookalike"]
CMD ["serve", "--host", "0.0.0.0", "--root", "/pictures"]
