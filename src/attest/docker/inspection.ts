/**
 * What the engine says of a container, read strictly: a member of another type than documented fails, one that may be
 * null in Go's JSON (an empty list or map) counts as empty.
 *
 * @see https://docs.docker.com/reference/api/engine/ ContainerInspect, ImageInspect; Podman's compatible API
 */

import { SidekeyError } from '../../base/errors.ts';
import { checkItems, MAX_ITEM_BYTES, TooLargeError } from './answer.ts';

export interface Inspection {
  /** 64 hexadecimal digits. */
  readonly id: string;
  /** Without the slash that Docker puts before it. */
  readonly name: string;
  /** As it was named when the container was made: `envoyproxy/envoy:v1.36.0`. */
  readonly imageName: string;
  /** `sha256:<64 hex>`; the digest of the image's configuration, or of its manifest with containerd's image store. */
  readonly imageId: string;
  readonly labels: ReadonlyMap<string, string>;
  /** `NAME=VALUE`, as the engine has them: with those of the image. */
  readonly env: readonly string[];
  /** Names of the networks that it is attached to itself. */
  readonly networks: readonly string[];
  /** Of its main process, in the engine's pid namespace. */
  readonly pid: number;
  /** When the engine started its main process, as the engine has it: RFC 3339. */
  readonly startedAt: string;
}

/**
 * @throws ERR_ATTESTATION_FAILED where it is not of this container, not running, or of another form; TooLargeError where
 * it has more labels, variables or networks than are read. Values are in no message
 */
export function readInspection(answer: unknown, id: string): Inspection {
  const container = object(answer, 'the answer');
  if (text(container.Id, 'Id') !== id) throw malformed('Id', 'is that of another container');
  const state = object(container.State, 'State');
  if (typeof state.Running !== 'boolean') throw malformed('State.Running');
  if (!state.Running) throw failed(`container ${id} is not running, says the engine`);
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
    pid: pid as number,
    startedAt: instantText(state.StartedAt, 'State.StartedAt'),
  };
}

/** The digests, `sha256:<64 hex>`, by which registries know an image; none for one that was never in a registry. */
export function readImageDigests(answer: unknown): string[] {
  const names = texts(object(answer, 'the answer').RepoDigests, 'RepoDigests', 'an image');
  return names.map((name) => {
    const digest = /@(sha256:[0-9a-f]{64})$/.exec(name)?.[1];
    if (digest === undefined) throw malformed('RepoDigests');
    return digest;
  });
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
  throw new TooLargeError(`${whose}: ${place}`, `${found.length} characters, and at most ${MAX_ITEM_BYTES} are read`);
}

/** An instant, which `Date.parse` can read; engines tell it to the nanosecond. */
function instantText(value: unknown, place: string): string {
  const form = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})$/;
  const found = text(value, place);
  if (!form.test(found) || Number.isNaN(Date.parse(found))) throw malformed(place, 'is no instant');
  return found;
}

/** The pids, in the engine's pid namespace, of a container's processes: what its API calls `top`, asked for with `-o pid`. */
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

function malformed(place: string, problem = 'is not what its API describes'): SidekeyError {
  return failed(`the engine's answer can't be read: ${place} ${problem}`);
}

function failed(message: string): SidekeyError {
  return new SidekeyError('ERR_ATTESTATION_FAILED', message);
}
