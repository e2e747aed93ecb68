/** `POST /v1/backup`: a backup of the server, as a tar archive in clear. It has the keys, so it never leaves over TCP. */

import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import { type Clock, SidekeyError } from '../base/index.ts';
import type { AuditStore } from '../registry/index.ts';
import type { ByOf } from './actor.ts';

export interface BackupRouteParts {
  /** Takes a snapshot and returns its archive. @throws ERR_BACKUP_RUNNING, ERR_STORE */
  readonly backup: () => Promise<AsyncGenerator<Buffer>>;
  readonly audit: AuditStore;
  readonly clock: Clock;
}

const MEDIA_TYPE = 'application/x-tar';

/** A reader that takes nothing for so long is disconnected, in milliseconds. */
const SILENCE_MS = 60_000;

export function addBackupRoutes(app: FastifyInstance, parts: BackupRouteParts, byOf: ByOf): void {
  const { backup, audit, clock } = parts;
  app.post(
    '/v1/backup',
    {
      schema: {
        operationId: 'makeBackup',
        summary: 'A backup of database and authorities, with their keys, as a tar archive; only on the Unix socket',
        errors: ['ERR_UNIX_SOCKET_ONLY', 'ERR_BACKUP_RUNNING'],
        response: { 200: { content: { [MEDIA_TYPE]: { schema: { type: 'string', format: 'binary' } } } } },
      },
    },
    async (request, reply) => {
      // A session of the page that comes over the socket is not the user of the socket.
      if (request.requester?.kind !== 'unix') {
        throw new SidekeyError(
          'ERR_UNIX_SOCKET_ONLY',
          "a backup has the authorities' keys, which are never sent over TCP: run sidekey backup on this host, as the user of the server or as root, without --admin-url",
        );
      }
      // The keys leave: the row is in the backup itself.
      await audit.append([{ at: clock.now(), action: 'backup.asked', by: byOf(request) }]);
      const archive = Readable.from(await backup(), { objectMode: false });
      request.raw.socket.setTimeout(SILENCE_MS, () => request.raw.socket.destroy());
      return reply.header('content-type', MEDIA_TYPE).send(archive);
    },
  );
}
