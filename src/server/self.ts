/** What doctor needs to know of the server and its host. */

import type { SelfKnowledge } from '../admin/index.ts';
import { type Kernel, type Pipe, type RunningAttestor, readProcView } from '../attest/index.ts';
import { descriptors, diskOf, type UnmappedIds } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import type { AgentConfig, HostConfig, ServeConfig } from '../config/index.ts';
import type { EndpointState } from '../federation/index.ts';
import type { CertificateFiles } from '../https/index.ts';
import type { EntryRules, Registry } from '../registry/index.ts';
import { formatSelector } from '../spiffe/index.ts';
import type { Counters } from '../telemetry/index.ts';
import { probe } from './attestors.ts';
import { entriesFileNow } from './entries-file-now.ts';
import type { FailedReloads } from './failed-reloads.ts';
import type { PublishedBundle } from './federation.ts';
import { agentInputsOf, inputsOf, isReplaced, passphraseFilesOf } from './warnings.ts';

/** Of a server or an agent. */
export interface HostSelfParts {
  readonly config: HostConfig;
  readonly dataDir: string;
  readonly attestors: readonly RunningAttestor[];
  readonly kernel: Kernel;
  readonly unmapped: UnmappedIds;
  readonly pipe: Pick<Pipe, 'replacedPrograms'>;
  readonly counters: Counters;
  /** Files that decide which caller gets which identity. */
  readonly inputs: readonly { readonly setting: string; readonly path: string }[];
}

export interface SelfParts extends Omit<HostSelfParts, 'inputs'> {
  readonly config: ServeConfig;
  readonly registry: Registry;
  readonly entryRules: EntryRules;
  readonly failedReloads: FailedReloads;
  readonly tls: Pick<CertificateFiles, 'state'> | undefined;
  readonly ca: Pick<CertificateAuthority, 'bundle'>;
  /** Undefined while the server starts. */
  readonly published: PublishedBundle | undefined;
}

type Look = Awaited<ReturnType<SelfKnowledge['look']>>;
type Unseen = Look['unseen'];

/** What only a server has. */
type OfServer = 'entries_file' | 'failed_reloads' | 'passphrase_files' | 'admin_tls' | 'published_bundle';

/** Maximum number of replaced programs in the answer. */
const REPLACED_SAMPLE = 20;
/** Maximum number of labels in the answer. */
const AMBIGUOUS_SAMPLE = 20;

export async function lookAtSelf(parts: SelfParts): Promise<Look> {
  const { config, tls, registry, entryRules, failedReloads } = parts;
  const looked = await lookAtOwnHost({ ...parts, inputs: inputsOf(config) });
  const { entries } = config;
  return {
    ...looked,
    entries_file:
      entries === undefined
        ? null
        : await readPart(entries, looked.unseen, () => entriesFileNow(entries, entryRules, registry)),
    failed_reloads: failedReloads.list(),
    passphrase_files: passphraseFilesOf(config),
    admin_tls: tls === undefined ? null : tlsJson(tls.state),
    published_bundle: publishedJson(parts),
  };
}

/** The same of an agent. */
export async function lookAtAgent(config: AgentConfig, parts: Omit<HostSelfParts, 'config' | 'inputs'>): Promise<Look> {
  const none = {
    entries_file: null,
    failed_reloads: [],
    passphrase_files: [],
    admin_tls: null,
    published_bundle: null,
  };
  return { ...(await lookAtOwnHost({ ...parts, config, inputs: agentInputsOf(config) })), ...none };
}

/** A failure to read one part, such as a lack of descriptors, does not affect the others. @returns null if it failed */
async function readPart<T>(what: string, unseen: Unseen, look: () => T | Promise<T>): Promise<T | null> {
  try {
    return await look();
  } catch (thrown) {
    unseen.push({ what, error: (thrown as Error).message });
    return null;
  }
}

async function lookAtOwnHost(parts: HostSelfParts): Promise<Omit<Look, OfServer>> {
  const { config, dataDir, attestors, kernel, unmapped, pipe, counters, inputs } = parts;
  const unseen: Unseen = [];
  const view = await readPart('/proc', unseen, readProcView);
  const disk = await readPart(`the file system of ${dataDir}`, unseen, () => diskOf(dataDir));
  const used = await readPart('descriptors', unseen, descriptors);
  const replaced = pipe.replacedPrograms();
  const ambiguous = attestors.flatMap((attestor) => attestor.ambiguousLabels?.() ?? []);
  return {
    data_dir: dataDir,
    socket: config.socket,
    admin_socket: config.adminSocket,
    docker_socket: config.dockerSocket ?? null,
    sds_names: {
      default: config.sdsDefaultName,
      bundle: config.sdsBundleName,
      all_bundles: config.sdsAllBundlesName,
    },
    started: { directory: process.cwd(), settings_in_environment: Object.keys(process.env).some(isSetting) },
    inputs: inputs.map((input) => ({ ...input, replaced: isReplaced(input.path) })),
    attestors: await Promise.all(attestors.map(probe)),
    proc: view && { others_executables: view.othersExecutables, hidepid: view.hidepid ?? null },
    disk: disk && { free_bytes: disk.freeBytes, free_inodes: disk.freeInodes },
    descriptors: used && { ...used, refused_connections: counters.get('connections_without_descriptors_total') },
    unseen,
    kernel: { pins_peers: kernel.pinsPeers, no_pidfd_open: kernel.noPidfdOpen ?? null },
    unmapped: { uid: unmapped.uid ?? null, gid: unmapped.gid ?? null },
    replaced_programs: {
      count: replaced.length,
      sample: replaced
        .toSorted((a, b) => Number(a.keepsPath) - Number(b.keepsPath))
        .slice(0, REPLACED_SAMPLE)
        .map(({ pid, uid, path, keepsPath }) => ({ pid, uid, path, keeps_path: keepsPath })),
    },
    ambiguous_labels: {
      count: ambiguous.length,
      sample: ambiguous
        .slice(0, AMBIGUOUS_SAMPLE)
        .map(({ container, selector }) => ({ container, selector: formatSelector(selector) })),
    },
  };
}

function tlsJson({ files, notAfter, problem }: CertificateFiles['state']) {
  return {
    cert_file: files.cert,
    key_file: files.key,
    not_after: new Date(notAfter).toISOString(),
    problem: problem ?? null,
  };
}

function publishedJson({ published, ca }: SelfParts) {
  const [endpoint, file] = [published?.endpoint(), published?.file()];
  if (endpoint === undefined && file === undefined) return null;
  const { documentNumber, refreshHint } = ca.bundle();
  return {
    sequence: documentNumber,
    refresh_hint: refreshHint ?? 0,
    endpoint: endpoint === undefined ? null : endpointJson(endpoint),
    file: file === undefined ? null : { path: file.file, problem: file.problem ?? null, open_to: [...file.openTo] },
  };
}

function endpointJson({ address, port, profile, spiffeId, certificate }: EndpointState) {
  const { files, notAfter, problem } = certificate;
  return {
    ...{ address, port, profile },
    spiffe_id: spiffeId ?? null,
    cert_file: files?.cert ?? null,
    key_file: files?.key ?? null,
    not_after: notAfter === undefined ? null : new Date(notAfter).toISOString(),
    problem: problem ?? null,
  };
}

function isSetting(variable: string): boolean {
  return variable.startsWith('SIDEKEY_');
}
