/** `sidekey federation …`: relationships with other trust domains, whose bundles the server fetches. */

import { type Command, Option } from 'commander';
import type { RelationshipViewJson } from '../admin/index.ts';
import type { Problem } from '../base/index.ts';
import type { AdminClient } from '../client/index.ts';
import { deleteAll } from './delete.ts';
import { placed, printWarnings, UsageError } from './errors.ts';
import { readInput } from './input.ts';
import { printFields, printTable, printView } from './output.ts';
import { addClientOptions, type ClientOptions, openClient } from './target.ts';

interface RelationshipOptions extends ClientOptions {
  readonly bundleEndpointUrl?: string;
  readonly bundleEndpointProfile?: string;
  readonly endpointSpiffeId?: string;
  readonly endpointCaFile?: string;
  readonly trustDomainBundlePath?: string;
  readonly trustDomainBundleFormat?: string;
  readonly data?: string;
  readonly ifMatch?: string;
}

export function addFederationCommands(program: Command): void {
  const federation = program
    .command('federation')
    .description('manage relationships with other trust domains, whose bundles the server fetches');
  addRelationshipFlags(
    federation
      .command('create [trust-domain]')
      .description('create a relationship, fetch the bundle once, and say what came of it'),
  ).action(async (trustDomain: string | undefined, options: RelationshipOptions) => {
    const given = await readGiven(trustDomain, options);
    const client = await openClient(options);
    await changeAll(given, options, (body) => client.createRelationship({ body: body as never }));
  });
  const update = addRelationshipFlags(
    federation
      .command('update [trust-domain]')
      .description(
        'replace the parameters of a relationship: give all of them, nothing is taken from the present ones',
      ),
  );
  update.option('--if-match <revision>', 'update only if the relationship is at this revision');
  update.action(async (trustDomain: string | undefined, options: RelationshipOptions) => {
    const given = await readGiven(trustDomain, options);
    const client = await openClient(options);
    await changeAll(given, options, (body) => {
      const query = { only_existing: true, bundle: 'replace' } as const;
      const headers = options.ifMatch === undefined ? {} : { headers: { 'if-match': options.ifMatch } };
      return client.setRelationship({
        ...{ path: { trust_domain: nameIn(body) }, query, body: body as never, ...headers },
      }) as ReturnType<AdminClient['createRelationship']>;
    });
  });
  addList(federation);
  addShow(federation);
  addRefresh(federation);
  addClientOptions(
    federation
      .command('delete <trust-domains...>')
      .description('delete relationships and their bundles: no workload trusts these domains any more'),
  ).action(async (trustDomains: readonly string[], options: ClientOptions) => {
    const client = await openClient(options);
    await deleteAll(trustDomains, options.output, (one) => client.deleteRelationship({ path: { trust_domain: one } }));
  });
}

function addRelationshipFlags(command: Command): Command {
  return addClientOptions(
    command
      .option('--bundle-endpoint-url <url>', 'https URL of the bundle endpoint')
      .addOption(
        new Option('--bundle-endpoint-profile <profile>', 'how the endpoint is known; its operator says which').choices(
          ['https_spiffe', 'https_web'],
        ),
      )
      .option('--endpoint-spiffe-id <id>', 'https_spiffe: the SPIFFE ID of the endpoint')
      .option(
        '--endpoint-ca-file <file>',
        'https_web: PEM file with the CA of the endpoint, in place of the public CAs',
      )
      .option(
        '--trust-domain-bundle-path <file>',
        'https_spiffe: the bundle by which the endpoint is known at first, as PEM or JSON; - reads stdin',
      )
      .addOption(
        new Option(
          '--trust-domain-bundle-format <format>',
          'the format of that bundle (default: what the file looks like)',
        ).choices(['pem', 'spiffe']),
      )
      .option('--data <file>', 'take the relationships of a federation.json instead; - reads stdin'),
  );
}

type Body = Readonly<Record<string, unknown>>;

/** @throws UsageError */
async function readGiven(trustDomain: string | undefined, options: RelationshipOptions): Promise<readonly Body[]> {
  const { data } = options;
  if (data !== undefined) {
    if (trustDomain !== undefined) throw new UsageError('give a trust domain with its flags, or --data, not both');
    return readData(data);
  }
  if (trustDomain === undefined) throw new UsageError('give the trust domain, or --data FILE');
  const { endpointCaFile: caFile, trustDomainBundlePath: bundleFile, trustDomainBundleFormat: format } = options;
  const bundle = bundleFile === undefined ? undefined : await readText('--trust-domain-bundle-path', bundleFile);
  const isJson = bundle !== undefined && (format ?? (/^[\s\ufeff]*\{/.test(bundle) ? 'spiffe' : 'pem')) === 'spiffe';
  return [
    {
      trust_domain: trustDomain,
      bundle_endpoint_url: options.bundleEndpointUrl ?? null,
      bundle_endpoint_profile: options.bundleEndpointProfile ?? null,
      endpoint_spiffe_id: options.endpointSpiffeId ?? null,
      endpoint_ca: caFile === undefined ? null : await readText('--endpoint-ca-file', caFile),
      ...(bundle === undefined
        ? {}
        : {
            trust_domain_bundle: isJson ? parseJson('--trust-domain-bundle-path', bundleFile!, bundle) : bundle,
            trust_domain_bundle_format: isJson ? 'spiffe' : 'pem',
          }),
    },
  ];
}

async function readData(file: string): Promise<readonly Body[]> {
  const value = parseJson('--data', file, await readText('--data', file));
  const list = (value as { federationRelationships?: unknown } | null)?.federationRelationships;
  if (!Array.isArray(list) || list.length === 0) {
    throw new UsageError(`--data: ${file} has no list "federationRelationships" with at least one relationship`);
  }
  return list as readonly Body[];
}

/** @throws UsageError that names the file, also if it is empty */
async function readText(flag: string, file: string): Promise<string> {
  const text = (await readInput(flag, file)).toString('utf8');
  if (text.trim() === '') throw new UsageError(`${flag}: ${file === '-' ? 'stdin' : file} is empty`);
  return text;
}

function parseJson(flag: string, file: string, text: string): unknown {
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (thrown) {
    throw new UsageError(`${flag}: ${file === '-' ? 'stdin' : file} is not JSON: ${(thrown as Error).message}`);
  }
}

/** The trust domain of an element of federation.json, whatever the case of the name. */
function nameIn(body: Body): string {
  const [, value] =
    Object.entries(body ?? {}).find(([name]) => name.replaceAll('_', '').toLowerCase() === 'trustdomain') ?? [];
  if (typeof value === 'string' && value !== '') return value;
  throw new UsageError('--data: a relationship has no trustDomain');
}

type Changed = Awaited<ReturnType<AdminClient['createRelationship']>>;

/** One after the other; stops at the first that is refused, and says which were done. */
async function changeAll(
  given: readonly Body[],
  options: RelationshipOptions,
  change: (body: Body) => Promise<Changed>,
): Promise<void> {
  const made: Changed[] = [];
  const print = () =>
    printView(options.output, {
      value: given.length === 1 ? made[0] : { relationships: made },
      names: made.map(({ trust_domain: name }) => name),
      table: () => {
        for (const one of made) printFields([['change', one.change], ...fieldsOf(one)]);
      },
    });
  try {
    for (const [index, body] of given.entries()) {
      const place = (problem: Problem) => placeOf(problem, options.data, index);
      const one = await placed(place, () => change(body));
      printWarnings(one.warnings.map(place));
      made.push(one);
    }
  } catch (thrown) {
    if (made.length > 0) await print();
    throw thrown;
  }
  await print();
}

const FLAGS: Readonly<Record<string, string>> = {
  trust_domain: 'trust-domain',
  bundle_endpoint_url: '--bundle-endpoint-url',
  bundle_endpoint_profile: '--bundle-endpoint-profile',
  endpoint_spiffe_id: '--endpoint-spiffe-id',
  endpoint_ca: '--endpoint-ca-file',
  trust_domain_bundle: '--trust-domain-bundle-path',
  trust_domain_bundle_format: '--trust-domain-bundle-format',
};

function placeOf(problem: Problem, data: string | undefined, index: number): Problem {
  if (data !== undefined) {
    const file = data === '-' ? 'stdin' : data;
    return { ...problem, path: `--data: ${file} /federationRelationships/${index}${problem.path}` };
  }
  const flag = FLAGS[problem.path.split('/')[1] ?? ''];
  return flag === undefined ? problem : { ...problem, path: flag };
}

function addList(federation: Command): void {
  addClientOptions(federation.command('list').description('list relationships by trust domain')).action(
    async (options: ClientOptions) => {
      const client = await openClient(options);
      const { relationships } = await client.listRelationships();
      await printView(options.output, {
        value: { relationships },
        names: relationships.map(({ trust_domain: name }) => name),
        table: (wide) =>
          printTable(
            ['TRUST DOMAIN', 'STATE', 'SEQUENCE', 'FETCHED', 'NEXT POLL', ...(wide ? ['PROFILE', 'URL'] : [])],
            relationships.map((one) => [
              one.trust_domain,
              one.state,
              one.bundle?.spiffe_sequence ?? 'none',
              one.last_success_at ?? 'never',
              one.next_poll_at ?? 'now',
              ...(wide ? [one.bundle_endpoint_profile, one.bundle_endpoint_url] : []),
            ]),
          ),
      });
    },
  );
}

function addShow(federation: Command): void {
  addClientOptions(federation.command('show <trust-domain>').description('show a relationship')).action(
    async (trustDomain: string, options: ClientOptions) => {
      const client = await openClient(options);
      await print(await client.getRelationship({ path: { trust_domain: trustDomain } }), options);
    },
  );
}

function addRefresh(federation: Command): void {
  addClientOptions(
    federation
      .command('refresh <trust-domain>')
      .description('fetch the bundle of a relationship now')
      .option('--force', 'take a bundle with a lower sequence number than the present one, or without one'),
  ).action(async (trustDomain: string, options: ClientOptions & { force?: true }) => {
    const client = await openClient(options);
    const query = { force: options.force === true };
    await print(await client.refreshRelationship({ path: { trust_domain: trustDomain }, query }), options);
  });
}

async function print(
  one: RelationshipViewJson & { readonly changed?: boolean },
  options: ClientOptions,
): Promise<void> {
  const changed = one.changed === undefined ? [] : [['fetched', one.changed ? 'a new bundle' : 'nothing new'] as const];
  await printView(options.output, {
    value: one,
    names: [one.trust_domain],
    table: () => printFields([...changed, ...fieldsOf(one)]),
  });
}

type Field = readonly [name: string, value: string | readonly string[]];

function fieldsOf(one: RelationshipViewJson): Field[] {
  const { bundle, error } = one;
  const optional = (name: string, value: string | null | undefined): Field[] => (value ? [[name, value]] : []);
  return [
    ['trust domain', one.trust_domain],
    ['bundle endpoint URL', one.bundle_endpoint_url],
    ['bundle endpoint profile', one.bundle_endpoint_profile],
    ...optional('endpoint SPIFFE ID', one.endpoint_spiffe_id),
    ...optional('endpoint CA', one.endpoint_ca === null ? null : 'given as PEM (-o json shows it)'),
    ['revision', String(one.revision_number)],
    ['state', one.state],
    ['fetched', one.last_success_at ?? 'not since the start'],
    ['next poll', one.next_poll_at ?? 'now'],
    ...optional('failures since then', one.failures === 0 ? null : String(one.failures)),
    ...optional('last error', error?.message),
    ...optional('what to do', error?.fix),
    ...(one.ignored.length === 0 ? [] : [['ignored', one.ignored] as const]),
    ...(bundle === null
      ? [['bundle', 'none'] as const]
      : [
          ['bundle', `${bundle.source}, sequence ${bundle.spiffe_sequence}, since ${bundle.updated_at}`] as const,
          ['authorities', `${bundle.x509_authorities} of X.509-SVIDs, ${bundle.jwt_authorities} of JWT-SVIDs`] as const,
          ['refresh hint', bundle.spiffe_refresh_hint === null ? 'none' : `${bundle.spiffe_refresh_hint} s`] as const,
          ...optional('expires', bundle.expires_at),
        ]),
  ];
}
