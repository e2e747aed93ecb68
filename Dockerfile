# Two images: `sidekey`, and `demo`, which is what compose.yaml and compose.hosts.yaml need beside it and Envoy.
# It is the Node that package.json pins; a test compares them.
ARG NODE=node:24.21.0-bookworm-slim

FROM ${NODE} AS builder
# The place that it has in the image, too: by it Node finds the code that it has compiled before.
WORKDIR /opt/sidekey
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && scripts/node scripts/image-files.ts /image
RUN node_modules/.bin/esbuild envoy-examples/demo/write-certificate.ts envoy-examples/demo/write-host-certificates.ts \
      --bundle --platform=node --log-level=warning --outdir=/demo --out-extension:.js=.cjs

# The apps behind the demo's Envoys, and what makes its certificates: of front-envoy for the outside, of the hosts.
FROM ${NODE} AS demo
COPY envoy-examples/app /app
COPY --from=builder /demo /app
# The folder's owner goes over to the volume that is mounted there: the user of Envoy's image.
RUN install -d -o 101 -g 101 -m 0755 /etc/envoy/certs
USER 101:101
CMD ["node", "/app/main.ts"]

FROM ${NODE} AS sidekey
COPY --from=builder /image /
# Who Sidekey is, and the group that may use its pipe. Who runs it as another user than root gives that user the right to
# the engine's socket by its group (docs/docker.md).
ARG RUN_AS=0
ARG PIPE_GROUP=2000
# Volumes take over owner, group and mode. The socket gets the folder's group by the setgid bit: no right to chown is needed.
# /srv/sidekey is for files that others may read: the bundle of --federation-publish-file.
RUN install -d -o ${RUN_AS} -g ${RUN_AS} -m 0700 /var/lib/sidekey \
 && install -d -o ${RUN_AS} -g ${PIPE_GROUP} -m 2750 /run/sidekey \
 && install -d -o ${RUN_AS} -g ${RUN_AS} -m 0755 /srv/sidekey
ENV SIDEKEY_DATA_DIR=/var/lib/sidekey \
    SIDEKEY_SOCKET=/run/sidekey/agent.sock
USER ${RUN_AS}:${RUN_AS}
ENTRYPOINT ["sidekey"]
CMD ["serve"]
HEALTHCHECK --interval=5s --timeout=3s CMD ["sidekey", "healthcheck"]
