/** An image registry on loopback, with one image: engines take clear text from there, and know an image of it by its digest. */

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { arch } from 'node:os';
import type { TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';

export interface ServedImage {
  /** As engines ask for it: `127.0.0.1:PORT/web:1`. */
  readonly name: string;
  /** `sha256:<64 hex>` of its manifest. */
  readonly digest: string;
  /** `sha256:<64 hex>` of its configuration. */
  readonly configDigest: string;
}

const TYPES = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
};

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Serves an empty image with these labels until the test is over. @see https://distribution.github.io/distribution/spec/api/ */
export async function serveImage(t: TestContext, labels: Readonly<Record<string, string>>): Promise<ServedImage> {
  // Two empty blocks: a tar archive of nothing.
  const archive = Buffer.alloc(1_024);
  const layer = gzipSync(archive);
  const config = Buffer.from(
    JSON.stringify({
      architecture: arch() === 'x64' ? 'amd64' : arch(),
      os: 'linux',
      created: new Date().toISOString(),
      config: { Labels: labels },
      rootfs: { type: 'layers', diff_ids: [digestOf(archive)] },
      history: [{ created: new Date().toISOString(), created_by: 'a test' }],
    }),
  );
  const described = (mediaType: string, bytes: Buffer) => ({ mediaType, size: bytes.length, digest: digestOf(bytes) });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: TYPES.manifest,
      config: described(TYPES.config, config),
      layers: [described(TYPES.layer, layer)],
    }),
  );
  const blobs = new Map([config, layer, manifest].map((bytes) => [digestOf(bytes), bytes]));

  const server = http.createServer((request, response) => {
    const url = request.url!;
    const wanted = url.startsWith('/v2/web/manifests/') ? manifest : blobs.get(url.slice(url.lastIndexOf('/') + 1));
    if (url === '/v2/') response.end('{}');
    else if (wanted === undefined) response.writeHead(404).end('{}');
    else {
      response.writeHead(200, {
        'content-type': wanted === manifest ? TYPES.manifest : 'application/octet-stream',
        'content-length': wanted.length,
        'docker-content-digest': digestOf(wanted),
      });
      response.end(request.method === 'HEAD' ? undefined : wanted);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { name: `127.0.0.1:${port}/web:1`, digest: digestOf(manifest), configDigest: digestOf(config) };
}
