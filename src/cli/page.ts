/** `sidekey page`: makes a link to the page, and forwards a port to the admin socket where the page is not on TCP. */

import { randomBytes } from 'node:crypto';
import { userInfo } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { AdminClient } from '../client/index.ts';
import { UsageError } from './errors.ts';
import { isData, printData, REPORT_FORMATS } from './output.ts';
import type { Forwarder } from './page-forwarder.ts';
import { browserOpener, openLink } from './page-opener.ts';
import { addClientOptions, type ClientOptions, openClient, socketOf } from './target.ts';

interface PageOptions extends ClientOptions {
  readonly role?: 'read' | 'entries' | 'admin';
  readonly name?: string;
  readonly port?: number;
  readonly open: boolean;
}

type Link = Awaited<ReturnType<AdminClient['createPageLink']>>;

/** The file that leads the browser to the link stays for as long as its code works, in milliseconds. */
const CODE_MS = 60_000;
/** Without a port to forward the command ends, after the browser had time to read that file, in milliseconds. */
const BROWSER_MS = 10_000;

export function addPageCommand(program: Command): void {
  addClientOptions(
    program
      .command('page')
      .description('make a one-time link to the page, which shows proxies, identities and refusals in a browser')
      .addOption(
        new Option('--role <role>', 'what the session may do (default: what you may)').choices([
          'read',
          'entries',
          'admin',
        ]),
      )
      .option('--name <name>', 'who the session is for, in the audit (default: your user)')
      .option('--port <port>', 'the port on 127.0.0.1 that is forwarded (default: any free one)', readPort)
      .option('--no-open', 'do not open the link in a browser'),
    REPORT_FORMATS,
  ).action(page);
}

async function page(options: PageOptions): Promise<void> {
  const socketPath = socketOf(options);
  if (socketPath === undefined && options.port !== undefined) {
    throw new UsageError('--port is for the port that is forwarded to the admin socket; with --admin-url none is');
  }
  const client = await openClient(options);
  const hostName = `sidekey-${randomBytes(8).toString('hex')}.localhost`;
  const origin = socketPath === undefined ? originOf(options.adminUrl ?? process.env.SIDEKEY_ADMIN_URL!, hostName) : '';
  const name = options.name ?? ownName();
  const link = await client.createPageLink({
    body: { ...(options.role === undefined ? {} : { role: options.role }), ...(name === undefined ? {} : { name }) },
  });
  // It goes into a link and a file.
  if (!/^[\w-]{20,100}$/.test(link.code)) throw new Error('the answer has no code: is this Sidekey?');
  if (socketPath === undefined) return show(options, origin, link, undefined);
  const { listener } = link;
  if (listener !== null && !listener.tls && options.port === undefined && isOnLoopback(listener.address)) {
    return show(options, `http://${hostName}:${listener.port}`, link, undefined);
  }
  const forwarder = await forwarderFor(socketPath, hostName, options.port ?? 0);
  await show(options, `http://${hostName}:${forwarder.port}`, link, forwarder);
}

/** Prints the link, opens it, and forwards until a signal comes. */
async function show(options: PageOptions, origin: string, link: Link, forwarder: Forwarder | undefined): Promise<void> {
  const url = `${origin}/#code=${link.code}`;
  const { expires_at, role, name } = link;
  const stopped = forwarder === undefined ? undefined : signalled();
  if (isData(options.output)) {
    await printData(options.output, { url, expires_at, role, name, forwards: forwarder !== undefined });
  } else {
    process.stdout.write(`${url}\n`);
    const stay = forwarder === undefined ? '' : ', and the page works until this command ends (Ctrl+C)';
    process.stderr.write(`Open it within a minute: it works once${stay}. Role: ${role}.\n`);
  }
  const opener = options.open ? browserOpener(process.env, process.geteuid!()) : undefined;
  const remove = opener === undefined ? undefined : openLink(opener, url);
  try {
    if (stopped === undefined) {
      if (remove !== undefined) await delay(BROWSER_MS);
      return;
    }
    const removal = remove && setTimeout(remove, CODE_MS);
    await stopped;
    clearTimeout(removal);
  } finally {
    remove?.();
    await forwarder?.close();
  }
}

function signalled(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
}

async function forwarderFor(socketPath: string, hostName: string, port: number): Promise<Forwarder> {
  const { openForwarder } = await import('./page-forwarder.ts');
  try {
    return await openForwarder({ socketPath, hostName, port });
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    const reason = code === 'EADDRINUSE' ? 'another program has it' : message;
    throw new UsageError(`--port ${port}: 127.0.0.1:${port} cannot be listened on: ${reason}`);
  }
}

/**
 * Where the browser finds the page of this URL. On loopback a name of its own, since cookies do not tell ports apart.
 * @throws UsageError
 */
function originOf(adminUrl: string, hostName: string): string {
  const { protocol, hostname, port, origin, pathname } = new URL(adminUrl);
  if (pathname !== '/') {
    throw new UsageError(
      `--admin-url: the page is only at the root of a host, and ${adminUrl} has the path ${pathname}`,
    );
  }
  if (!/^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)) return origin;
  if (protocol === 'http:') return `http://${hostName}${port === '' ? '' : `:${port}`}`;
  throw new UsageError(
    `--admin-url: ${origin} is a name that all programs of this host share, and the page needs one of its own: give the name of --admin-host, or leave --admin-url out on the host of the server`,
  );
}

function isOnLoopback(address: string): boolean {
  return ['127.0.0.1', '::1', '0.0.0.0', '::'].includes(address);
}

/** The user who has typed the command, if the name fits. */
function ownName(): string | undefined {
  const name = process.env.SUDO_USER || userName();
  return name !== undefined && /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) ? name : undefined;
}

function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    // This uid has no account.
    return undefined;
  }
}

function readPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('give a port from 1 to 65535');
}
