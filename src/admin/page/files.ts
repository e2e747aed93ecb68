/**
 * The page's files. They are read once, when the admin API is loaded: a later build or upgrade must not mix with the
 * server that runs.
 */

import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { SidekeyError } from '../../base/index.ts';

const HERE = import.meta.dirname;
/** Where the build puts them: beside the bundle that has this code. */
const PLACE = path.join(HERE, path.basename(HERE) === 'dist' ? 'page' : '../../../dist/page');

export interface PageFiles {
  readonly index: Buffer;
  /** By name, in each form that it has. */
  readonly assets: ReadonlyMap<string, { readonly br: Buffer; readonly gzip: Buffer }>;
}

/** Undefined: the page was not built. */
export async function readPageFiles(place: string = PLACE): Promise<PageFiles | undefined> {
  const index = await readFile(path.join(place, 'index.html')).catch(() => undefined);
  if (index === undefined) return undefined;
  const assets = new Map<string, { br: Buffer; gzip: Buffer }>();
  const read = (name: string) => readFile(path.join(place, 'assets', name));
  for (const file of await readdir(path.join(place, 'assets'))) {
    const name = /^(.+)\.br$/.exec(file)?.[1];
    // A build that runs at this moment has others.
    if (name === undefined || !index.includes(name)) continue;
    assets.set(name, { br: await read(`${name}.br`), gzip: await read(`${name}.gz`) });
  }
  return { index, assets };
}

/** Nothing but the page's own files, in no frame, with no address of it for other sites. */
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
};

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};

/** The page reads its own query. */
const ANY_QUERY = Type.Object({}, { additionalProperties: true });

export function addPageRoutes(app: FastifyInstance, files: PageFiles | undefined): void {
  for (const url of ['/', '/ui/*']) {
    app.get(url, { schema: { hide: true, querystring: ANY_QUERY } }, (request, reply) =>
      sendIndex(files, request, reply),
    );
  }
  app.get<{ Params: { file: string } }>(
    '/assets/:file',
    { schema: { hide: true, querystring: ANY_QUERY } },
    async ({ params, headers }, reply) => {
      const asset = files?.assets.get(params.file);
      if (asset === undefined) throw new SidekeyError('ERR_NOT_FOUND', 'the page has no such file');
      const form = formFor(headers['accept-encoding']);
      if (form !== undefined) reply.header('content-encoding', form);
      return reply
        .headers({ ...HEADERS, 'cache-control': 'public, max-age=31536000, immutable', vary: 'accept-encoding' })
        .type(TYPES[path.extname(params.file)] ?? 'application/octet-stream')
        .send(form === undefined ? await promisify(gunzip)(asset.gzip) : asset[form]);
    },
  );
}

function sendIndex(files: PageFiles | undefined, { headers }: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (files === undefined) throw new SidekeyError('ERR_NOT_FOUND', 'the page was not built: npm run build makes it');
  if (!acceptsHtml(headers.accept)) {
    throw new SidekeyError(
      'ERR_NOT_FOUND',
      'here is only the page, as text/html; /openapi.json lists what answers JSON',
    );
  }
  return reply
    .headers({ ...HEADERS, 'cache-control': 'no-store' })
    .type('text/html; charset=utf-8')
    .send(files.index);
}

function acceptsHtml(accept: string | undefined): boolean {
  return accept === undefined || /(?:^|,)\s*(?:text\/html|text\/\*|\*\/\*)/i.test(accept);
}

/** The smallest form that the client takes; undefined: it takes neither. */
function formFor(accepted: string | undefined): 'br' | 'gzip' | undefined {
  const forms = (accepted ?? '').toLowerCase().split(',');
  const takes = (form: string) =>
    forms.some((one) => new RegExp(`^\\s*${form}\\s*(?:;(?!\\s*q=0(?:\\.0*)?\\s*$).*)?$`).test(one));
  if (takes('br')) return 'br';
  return takes('gzip') ? 'gzip' : undefined;
}
