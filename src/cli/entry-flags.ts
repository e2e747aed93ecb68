/** The members of an entry as flags of the command line. */

import { type Command, InvalidArgumentError } from 'commander';
import { DURATION_RULE, parseDuration } from '../base/duration.ts';
import { type Selector, splitSelector } from '../spiffe/selector.ts';

/** As commander gives them. `false`: the flag's `--no-` form. */
export interface EntryFlags {
  readonly spiffeId?: string;
  readonly selector?: readonly Selector[];
  readonly parentId?: string;
  readonly x509SvidTtl?: number;
  readonly jwtSvidTtl?: number;
  readonly dns?: readonly string[] | false;
  readonly federatesWith?: readonly string[] | false;
  readonly hint?: string;
  readonly allowContained?: boolean;
  readonly expiresAt?: string | number;
}

export function addEntryFlags(command: Command): Command {
  return command
    .option('--spiffe-id <id>', 'the identity: spiffe://<trust domain>/<path>')
    .option(
      '--selector <type:value>',
      'what a caller must have, such as unix:uid:1000; give it again for more',
      selector,
    )
    .option('--x509-svid-ttl <duration>', "how long an X.509-SVID lives (default: the server's)", seconds)
    .option('--jwt-svid-ttl <duration>', "how long a JWT-SVID lives (default: the server's)", seconds)
    .option('--dns <name>', 'a DNS name for the certificate; give it again for more', collect)
    .option('--federates-with <domain>', 'a trust domain whose bundle it gets too; give it again for more', collect)
    .option('--hint <text>', '"default" makes it the answer to the SDS name default')
    .option(
      '--allow-contained',
      'callers in containers may have it, though it has no container selector such as docker:',
    )
    .option('--no-allow-contained', 'they may not (the default)')
    .option('--expires-at <time>', 'RFC 3339, epoch seconds or never: nothing is issued from then on', instant)
    .option('--parent-id <id>', 'kept and shown; it grants nothing');
}

/** The members that were given, as the admin API takes them. */
export function flagsToJson(flags: EntryFlags): Record<string, unknown> {
  const members = {
    spiffe_id: flags.spiffeId,
    selectors: flags.selector,
    parent_id: flags.parentId,
    x509_svid_ttl: flags.x509SvidTtl,
    jwt_svid_ttl: flags.jwtSvidTtl,
    dns_names: flags.dns === false ? [] : flags.dns,
    federates_with: flags.federatesWith === false ? [] : flags.federatesWith,
    hint: flags.hint,
    allow_contained: flags.allowContained,
    expires_at: flags.expiresAt,
  };
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** After the `--no-` form the list begins anew; the last of them all has the last word. */
function collect(value: string, before: readonly string[] | false | undefined): readonly string[] {
  return [...(before || []), value];
}

function selector(text: string, before: readonly Selector[] | undefined): readonly Selector[] {
  const parsed = splitSelector(text);
  if (parsed === undefined) throw new InvalidArgumentError('A selector is type:value, such as unix:uid:1000.');
  return [...(before ?? []), parsed];
}

/** A duration, or SPIRE's plain number of seconds. */
function seconds(text: string): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : parseDuration(text);
  if (value === undefined) throw new InvalidArgumentError(`Give seconds or a duration: ${DURATION_RULE}.`);
  return value;
}

function instant(text: string): string | number {
  if (text === 'never') return 0;
  return /^\d{1,15}$/.test(text) ? Number(text) : text;
}
