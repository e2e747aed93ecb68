/**
 * `sidekey api fetch|validate|watch` and `sidekey healthcheck -socketPath`: the commands of `spire-agent` for scripts that
 * exist, with its flags, files, output and exit statuses. People use `sidekey fetch`.
 */

import { once } from 'node:events';
import path from 'node:path';
import type { Command } from 'commander';
import { parseGoDuration, printableLines } from '../base/index.ts';
import type { JWTBundlesResponse, JWTSVIDResponse, X509SVIDResponse } from '../gen/workload.ts';
import type { AgentClient, RpcError } from './agent-client.ts';
import { type GoFlag, GoFlagError, type GoFlags, goUsage, parseGoFlags } from './go-flags.ts';
import { formatGoDuration, goJson, sortedJson } from './go-words.ts';
import { knownPipe, PIPE_DEFAULT } from './pipe.ts';

const SOCKET: GoFlag = { value: 'string', usage: `Path to the server's pipe (${PIPE_DEFAULT})` };
const TIMEOUT_MS = 5_000;
const TIMEOUT: GoFlag = {
  value: 'value',
  usage: 'Time to wait for a response',
  byDefault: formatGoDuration(TIMEOUT_MS * 1e6),
  problem: (text) => {
    if (parseGoDuration(text) !== undefined) return undefined;
    return `time: ${/^\d+$/.test(text) ? 'missing unit in' : 'invalid'} duration ${JSON.stringify(text)}`;
  },
};
const OUTPUT: GoFlag = {
  value: 'value',
  usage: 'Desired output format (pretty, json); default: pretty.',
  problem: (text) =>
    /^(?:json|pretty|prettyprint)$/i.test(text)
      ? undefined
      : `bad formatter flag: unknown format option: ${JSON.stringify(text)}`,
};

interface AgentCommand {
  /** As the usage names it. */
  readonly name: string;
  readonly flags: Readonly<Record<string, GoFlag>>;
  run(client: AgentClient, flags: GoFlags): Promise<void>;
}

const FETCH_X509: AgentCommand = {
  name: 'fetch x509',
  flags: {
    socketPath: SOCKET,
    timeout: TIMEOUT,
    output: OUTPUT,
    silent: { value: undefined, usage: 'Suppress stdout' },
    write: {
      value: 'string',
      usage: 'Write SVID data to the specified path (optional; only available for pretty output format)',
    },
  },
  async run(client, flags) {
    const begun = process.hrtime.bigint();
    const response = await client.x509Svids();
    const took = Number(process.hrtime.bigint() - begun);
    if (isJson(flags)) return print(goJson(x509Json(response)));
    const { describeSvids, readSvids, writeSvids } = await import('./agent-svids.ts');
    const svids = readSvids(response);
    if (flags.get('silent') !== 'true') show(describeSvids(svids, took));
    const directory = flags.get('write') ?? '';
    if (directory !== '') writeSvids(directory, svids);
  },
};

const FETCH_JWT: AgentCommand = {
  name: 'fetch jwt',
  flags: {
    socketPath: SOCKET,
    timeout: TIMEOUT,
    output: OUTPUT,
    format: { ...OUTPUT, usage: 'deprecated; use -output' },
    audience: { value: 'value', usage: 'comma separated list of audience values' },
    spiffeID: { value: 'string', usage: 'SPIFFE ID subject (optional)' },
  },
  async run(client, flags) {
    const audience = flags.get('audience')?.split(',') ?? [];
    if (audience.length === 0) throw new Error('audience must be specified');
    const bundles = await client.jwtBundles();
    const svids = await client.jwtSvids(audience, flags.get('spiffeID') ?? '');
    if (isJson(flags)) print(goJson([jwtJson(svids), bundlesJson(bundles)]));
    else show(describeJwts(svids, bundles));
  },
};

const VALIDATE_JWT: AgentCommand = {
  name: 'validate jwt',
  flags: {
    socketPath: SOCKET,
    timeout: TIMEOUT,
    output: OUTPUT,
    audience: { value: 'string', usage: 'expected audience value' },
    svid: { value: 'string', usage: 'JWT SVID' },
  },
  async run(client, flags) {
    const [audience, svid] = [flags.get('audience') ?? '', flags.get('svid') ?? ''];
    if (audience === '') throw new Error('audience must be specified');
    if (svid === '') throw new Error('svid must be specified');
    const { spiffeId, claims = {} } = await client.validate(audience, svid).catch((error: RpcError) => {
      const isInvalid = error.message.startsWith('rpc error: code = InvalidArgument ');
      throw new Error(
        isInvalid ? `SVID is not valid: ${error.details}` : `unable to validate JWT SVID: ${error.message}`,
      );
    });
    if (isJson(flags)) print(goJson({ spiffe_id: spiffeId, claims }));
    else print(`SVID is valid.\nSPIFFE ID : ${spiffeId}\nClaims    : ${sortedJson(claims)}`);
  },
};

const WATCH: AgentCommand = {
  name: 'watch',
  flags: { socketPath: SOCKET },
  async run(client) {
    const { describeSvids, readSvids } = await import('./agent-svids.ts');
    let last = process.hrtime.bigint();
    let failures = 0;
    let isStopped = false;
    let stop = () => {};
    process.once('SIGINT', () => {
      isStopped = true;
      stop();
    });
    while (!isStopped) {
      const watching = client.watchX509Svids((message) => {
        failures = 0;
        try {
          const svids = readSvids(message).map((svid) => ({
            ...svid,
            hint: '',
            federated: svid.federated.map(byName),
          }));
          show(describeSvids(svids, Number(process.hrtime.bigint() - last)));
        } catch (error) {
          show(`${(error as Error).message}\n`, process.stderr);
        }
        last = process.hrtime.bigint();
      });
      stop = watching.stop;
      const error = await watching.ended;
      show(`${error.message}\n`, process.stderr);
      if (isStopped || error.message.startsWith('rpc error: code = InvalidArgument ')) throw error;
      failures += 1;
      const pause = new AbortController();
      stop = () => pause.abort();
      await pauseFor(Math.min(failures, MOST_PAUSE_S) * 1_000, pause.signal);
    }
  },
};

/** As go-spiffe waits: a second more after each failure. */
const MOST_PAUSE_S = 30;

function pauseFor(ms: number, signal: AbortSignal): Promise<unknown> {
  return once(AbortSignal.any([signal, AbortSignal.timeout(ms)]), 'abort');
}

const byName = <T>([id, bundle]: readonly [string, T]) => [id.replace('spiffe://', ''), bundle] as const;

const HEALTHCHECK: AgentCommand = {
  name: 'health',
  flags: {
    socketPath: SOCKET,
    shallow: { value: undefined, usage: 'Perform a less stringent health check' },
    verbose: { value: undefined, usage: 'Print verbose information' },
  },
  async run(client, flags) {
    const isVerbose = flags.get('verbose') === 'true';
    if (isVerbose) print('Checking agent health...');
    const found = await client.health().catch((error: Error) => {
      if (isVerbose) show(`Failed to check health: ${error.message}\n`, process.stderr);
      throw new Error('Agent is unhealthy: unable to determine health');
    });
    if (found !== 'SERVING') throw new Error(`Agent is unhealthy: agent returned status ${JSON.stringify(found)}`);
    print('Agent is healthy.');
  },
};

/** By their words; the longer ones first. */
const COMMANDS: readonly (readonly [words: readonly string[], command: AgentCommand])[] = [
  [['fetch', 'x509'], FETCH_X509],
  [['fetch', 'jwt'], FETCH_JWT],
  [['fetch'], FETCH_X509],
  [['validate', 'jwt'], VALIDATE_JWT],
  [['watch'], WATCH],
  [['healthcheck'], HEALTHCHECK],
];

const WORDS = COMMANDS.map(([words]) => words.join(' '));

export function addApiCommand(program: Command): void {
  program
    .command('api')
    .description(`the commands of spire-agent, with its flags and output, for scripts that exist: ${WORDS.join(', ')}`)
    .argument('[words...]')
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (given: string[]) => {
      process.exitCode = await runApi(given);
    });
}

/** The flags that `spire-agent healthcheck` has, in their only form: `sidekey healthcheck` with one of them is that command. */
export function isAgentHealthcheck([command, ...args]: readonly string[]): boolean {
  return command === 'healthcheck' && args.some((arg) => /^--?(?:socketPath|shallow|verbose)(?:=|$)/.test(arg));
}

/** Runs `api …`, or the health check, and returns the exit status. */
export async function runApi(args: readonly string[]): Promise<number> {
  const [words, command] = COMMANDS.find(([words]) => words.every((word, i) => args[i] === word)) ?? [];
  if (words === undefined || command === undefined) {
    const isHelp = args.some((arg) => /^--?h(?:elp)?$/.test(arg));
    const to = isHelp ? process.stdout : process.stderr;
    to.write(
      `Usage: sidekey api COMMAND [flags], where COMMAND is one of:\n${WORDS.map((one) => `  ${one}\n`).join('')}`,
    );
    return isHelp ? 0 : 1;
  }
  const rest = args.slice(words.length);
  if (rest.some((arg) => /^--?h(?:elp)?$/.test(arg))) {
    process.stderr.write(goUsage(command.name, command.flags));
    return 0;
  }
  try {
    const flags = parseGoFlags(rest, command.flags);
    const place = path.resolve(knownPipe(flags.get('socketPath'), '-socketPath'));
    const timeout = command.flags.timeout === undefined ? 0 : parseGoDuration(flags.get('timeout') ?? '5s')!;
    const { connectAgent } = await import('./pipe-client.ts');
    const client = connectAgent(place, timeout);
    try {
      await command.run(client, flags);
    } finally {
      client.close();
    }
    return 0;
  } catch (error) {
    const usage = error instanceof GoFlagError ? `${error.message}\n${goUsage(command.name, command.flags)}` : '';
    show(`${usage}${(error as Error).message}\n`, process.stderr);
    return 1;
  }
}

function isJson(flags: GoFlags): boolean {
  return (flags.get('output') ?? flags.get('format'))?.toLowerCase() === 'json';
}

function print(text: string): void {
  show(`${text}\n`);
}

/** Line ends and tabs are spire-agent's own; other control characters, which only a server could send, are escaped. */
function show(text: string, to: NodeJS.WriteStream = process.stdout): void {
  to.write(text.split('\t').map(printableLines).join('\t'));
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
const mapped = (map: Readonly<Record<string, Uint8Array>>) =>
  Object.fromEntries(Object.entries(map).map(([id, bytes]) => [id, base64(bytes)]));

function x509Json({ svids, crl, federatedBundles }: X509SVIDResponse): object {
  return {
    svids: svids.map(({ spiffeId, x509Svid, x509SvidKey, bundle, hint }) => ({
      spiffe_id: spiffeId,
      x509_svid: base64(x509Svid),
      x509_svid_key: base64(x509SvidKey),
      bundle: base64(bundle),
      hint,
    })),
    crl: crl.map(base64),
    federated_bundles: mapped(federatedBundles),
  };
}

function jwtJson({ svids }: JWTSVIDResponse): object {
  return { svids: svids.map(({ spiffeId, svid, hint }) => ({ spiffe_id: spiffeId, svid, hint })) };
}

function bundlesJson({ bundles }: JWTBundlesResponse): object {
  return { bundles: mapped(bundles) };
}

function describeJwts({ svids }: JWTSVIDResponse, { bundles }: JWTBundlesResponse): string {
  const tokens = svids.map(({ spiffeId, svid, hint }) => {
    return `token(${spiffeId}):\n\t${svid}\n${hint === '' ? '' : `hint(${spiffeId}):\n\t${hint}\n`}`;
  });
  const sets = Object.entries(bundles)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, jwks]) => `bundle(${id}):\n\t${Buffer.from(jwks).toString('utf8')}\n`);
  return [...tokens, ...sets].join('');
}
