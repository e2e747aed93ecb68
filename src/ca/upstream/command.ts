/**
 * A program of the user that gets the CSR signed: it reads the CSR as PEM on stdin and prints the new
 * certificate, those above it, and the roots as PEM on stdout, in any order.
 */

import type { X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import path from 'node:path';
import {
  describeLoose,
  isOfType,
  observer,
  octal,
  pathRemedy,
  pathRule,
  printable,
  walkPath,
} from '../../base/index.ts';
import type { TrustDomain } from '../../spiffe/index.ts';
import { MAX_UPSTREAM_ANSWER_BYTES } from './answer.ts';
import { readBundleFile } from './files.ts';
import { runCommand } from './run-command.ts';
import type { SigningRequest, UpstreamAnswer, UpstreamSource } from './upstream.ts';

export interface CommandOptions {
  /** The absolute path of the program, then its arguments. */
  readonly argv: readonly string[];
  readonly trustDomain: TrustDomain;
  /** Roots that the program does not print. */
  readonly bundleFile: string | undefined;
}

/** The whole environment of the program, besides the trust domain and the requested lifetime. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C.UTF-8',
} as const;
/** Maximum number of characters of its stderr in an error. */
const SHOWN_STDERR = 500;

export class CommandUpstream implements UpstreamSource {
  readonly kind = 'command';
  readonly description: string;
  readonly #options: CommandOptions;

  constructor(options: CommandOptions) {
    this.#options = options;
    // Without its arguments, which may contain a secret.
    this.description = `command ${printable(options.argv[0]!)}`;
  }

  problem(): string | undefined {
    try {
      trustedProgram(this.#options.argv[0]!);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  async check(): Promise<string> {
    trustedProgram(this.#options.argv[0]!);
    await this.trusted();
    return 'the program was not run';
  }

  async trusted(): Promise<readonly X509Certificate[] | undefined> {
    const { bundleFile } = this.#options;
    return bundleFile === undefined ? undefined : readBundleFile(bundleFile);
  }

  async sign({ csr, life, signal }: SigningRequest): Promise<UpstreamAnswer> {
    const { argv, trustDomain } = this.#options;
    const file = trustedProgram(argv[0]!);
    const seconds = String(Math.ceil(life / 1000));
    const env = { ...ENVIRONMENT, SIDEKEY_TRUST_DOMAIN: trustDomain, SIDEKEY_CA_TTL: seconds };
    const run = { file, argv, env, stdin: csr, maxOutput: MAX_UPSTREAM_ANSWER_BYTES, signal };
    const { status, endedBy, stdout, stderr } = await runCommand(run);
    if (status === 0) return { certificates: [stdout] };
    const how = endedBy === undefined ? `ended with status ${status}` : `was ended by ${endedBy}`;
    const said = printable(stderr.trim().slice(0, SHOWN_STDERR));
    throw new Error(`the program ${how}${said === '' ? ' and wrote nothing to stderr' : `: ${said}`}`);
  }

  async close(): Promise<void> {
    // Nothing to do: the signal of a request ends its program.
  }
}

/**
 * The program's file without symbolic links. Only root and the user of Sidekey may be able to change it or its path.
 * @throws {Error} with the problem and the rule
 */
function trustedProgram(file: string): string {
  const me = observer();
  if (!path.isAbsolute(file)) throw new Error(`${JSON.stringify(file)} is not an absolute path`);
  const walk = walkPath(file, me);
  const [loose] = walk.loose;
  if (loose !== undefined) throw new Error(`${describeLoose(loose)}; ${pathRule(me.uid)}: ${pathRemedy(me.uid)}`);
  const { entry } = walk;
  if (entry === undefined || walk.isDescriptor) throw new Error(`there is no program ${file}`);
  const { uid, mode } = entry;
  if (!isOfType(entry, constants.S_IFREG)) throw new Error(`${file} is not a file`);
  const fault =
    uid !== 0 && uid !== me.uid
      ? `belongs to uid ${uid}, which is neither root nor the user of Sidekey`
      : (mode & 0o022) !== 0
        ? 'can be written by others'
        : (mode & 0o111) === 0
          ? 'is not executable'
          : undefined;
  if (fault !== undefined) throw new Error(`${file} ${fault} (mode ${octal(mode)})`);
  return walk.path;
}
