# The machine that builds and tests this project: Debian 12 with the packages of
# tools/debian-packages.txt and tools/page-packages.txt, the lists that `make` uses too, and a user who
# is not root.
# The working copy is mounted, not copied: `make container` builds the image and enters it.
FROM debian:bookworm

COPY tools/debian-packages.txt tools/page-packages.txt /tmp/packages/
RUN apt-get update \
    && sed '/^#/d' /tmp/packages/*.txt \
        | DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends \
    && rm -rf /var/lib/apt/lists/* /tmp/packages

# Owns what it writes to a mounted working copy: give it the ids of who runs the container.
ARG USER_ID=1000
ARG GROUP_ID=1000
RUN groupadd --non-unique --gid "$GROUP_ID" builder \
    && useradd --non-unique --uid "$USER_ID" --gid "$GROUP_ID" --create-home builder
USER builder
WORKDIR /work
CMD ["bash"]
