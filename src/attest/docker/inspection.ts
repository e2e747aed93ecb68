/**
 * Reads the engine's answer about a container strictly: a member whose type differs from the documentation is an error.
 * A list or map may be null, because Go encodes empty ones as null.
 *
 * @see https://docs.docker.com/reference/api/engine/ ContainerInspect, ImageInspect; Podman's compatible API
 */

import { SidekeyError } from '../../base/index.ts';
import { checkItems, MAX_ITEM_BYTES, TooLargeError } from './answer.ts';

export interface ContainerInspection {
  /** 64 hexadecimal digits. */
  readonly id: string;
  /** Without Docker's leading slash. */
  readonly name: string;
  /** The image name with which the container was created: `envoyproxy/envoy:v1.36.0`. */
  readonly imageName: string;
  /** `sha256:<64 hex>`; the digest of the image's configuration, or of its manifest with containerd's image store. */
  readonly imageId: string;
  readonly labels: ReadonlyMap<string, string>;
  /** `NAME=VALUE`, including the variables of the image. */
  readonly env: readonly string[];
  /** The names of its own networks, without those of a container whose network it shares. */
  readonly networks: readonly string[];
  /** True if these are all networks that its processes use, as far as the engine says. */
  readonly hasOwnNetworks: boolean;
  /** The pid of its main process, in the engine's pid namespace. */
  readonly pid: number;
  /** The start of its main process according to the engine, in RFC 3339. */
  readonly startedAt: string;
}

/**
 * Reads the answer about container `id`. Messages contain no values.
 * @throws ERR_ATTESTATION_FAILED if the answer is about another container or is malformed, or the container is not
 *   running; TooLargeError if it has too many labels, variables or networks
 */
export function readInspection(answer: unknown, id: string): ContainerInspection {
  const container = object(answer, 'the answer');
  if (text(container.Id, 'Id') !== id) throw malformed('Id', 'belongs to another container');
  const state = object(container.State, 'State');
  if (typeof state.Running !== 'boolean') throw malformed('State.Running');
  if (!state.Running) throw failed(`container ${id} is not running according to the engine`);
  const pid = state.Pid;
  if (!Number.isSafeInteger(pid) || (pid as number) <= 0) throw malformed('State.Pid');
  const config = object(container.Config, 'Config');
  const settings = object(container.NetworkSettings, 'NetworkSettings');
  const imageId = text(container.Image, 'Image');
  if (!/^sha256:[0-9a-f]{64}$/.test(imageId)) throw malformed('Image');
  const whose = `container ${id}`;
  return {
    id,
    name: name(container.Name, 'Name', whose).replace(/^\//, ''),
    imageName: name(config.Image, 'Config.Image', whose),
    imageId,
    labels: textMap(config.Labels, 'Config.Labels', whose),
    env: texts(config.Env, 'Config.Env', whose),
    networks: keys(settings.Networks, 'NetworkSettings.Networks', whose),
    hasOwnNetworks: isOwnNetworkMode(container.HostConfig),
    pid: pid as number,
    startedAt: instantText(state.StartedAt, 'State.StartedAt'),
  };
}

export interface ImageInspection {
  /** Its digests in registries, `sha256:<64 hex>`; none if it was never pushed or pulled. */
  readonly digests: readonly string[];
  /** The labels that it was built with; its containers inherit them. */
  readonly labels: ReadonlyMap<string, string>;
}

/** Reads the answer about an image. @throws ERR_ATTESTATION_FAILED as {@link readInspection} */
export function readImage(answer: unknown): ImageInspection {
  const image = object(answer, 'the answer');
  const digests = texts(image.RepoDigests, 'RepoDigests', 'an image').map((name) => {
    const digest = /@(sha256:[0-9a-f]{64})$/.exec(name)?.[1];
    if (digest === undefined) throw malformed('RepoDigests');
    return digest;
  });
  const config = image.Config == null ? {} : object(image.Config, 'Config');
  return { digests, labels: textMap(config.Labels, 'Config.Labels', 'an image') };
}

/** False for the network of another container, or of a namespace that is named by its path; and if it is not known. */
function isOwnNetworkMode(hostConfig: unknown): boolean {
  if (hostConfig == null) return false;
  const { NetworkMode: mode } = object(hostConfig, 'HostConfig');
  return typeof mode === 'string' && mode !== '' && !/^(?:container|ns):/.test(mode);
}

function object(value: unknown, place: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(place);
  return value as Record<string, unknown>;
}

function text(value: unknown, place: string): string {
  if (typeof value !== 'string') throw malformed(place);
  return value;
}

function name(value: unknown, place: string, whose: string): string {
  const found = text(value, place);
  if (found.length <= MAX_ITEM_BYTES) return found;
  throw new TooLargeError(`${whose}: ${place}`, `${found.length} characters; the limit is ${MAX_ITEM_BYTES}`);
}

/** An instant with up to nine decimals of the second, which `Date.parse` can read. */
function instantText(value: unknown, place: string): string {
  const form = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})$/;
  const found = text(value, place);
  if (!form.test(found) || Number.isNaN(Date.parse(found))) throw malformed(place, 'is not a valid time');
  return found;
}

/**
 * Reads the answer of the API `top` with `-o pid`: the pids of a container's processes, in the engine's pid namespace.
 */
export function readPids(answer: unknown): number[] {
  const { Titles: titles, Processes: processes } = object(answer, 'the answer');
  const [title, ...others] = texts(titles, 'Titles', 'the list of processes');
  if (title?.trim() !== 'PID' || others.length > 0) throw malformed('Titles');
  if (!Array.isArray(processes)) throw malformed('Processes');
  return processes.map((row) => {
    const [pid = '', ...more] = texts(row, 'Processes', 'the list of processes');
    if (!/^ *[0-9]{1,10} *$/.test(pid) || more.length > 0) throw malformed('Processes');
    return Number(pid);
  });
}

function texts(value: unknown, place: string, whose: string): string[] {
  if (value == null) return [];
  if (!Array.isArray(value) || !value.every((element) => typeof element === 'string')) throw malformed(place);
  checkItems(value, value.length, `${whose}: ${place}`);
  return value;
}

function keys(value: unknown, place: string, whose: string): string[] {
  const found = Object.keys(value == null ? {} : object(value, place));
  checkItems(found, found.length, `${whose}: ${place}`);
  return found;
}

function textMap(value: unknown, place: string, whose: string): Map<string, string> {
  const found = Object.entries(value == null ? {} : object(value, place));
  const texts = found.flatMap(([key, each]) => [key, text(each, place)]);
  checkItems(texts, found.length, `${whose}: ${place}`);
  return new Map(found as [string, string][]);
}

function malformed(place: string, problem = 'does not conform to its API'): SidekeyError {
  return failed(`the engine's answer is invalid: ${place} ${problem}`);
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
