/** The docker attestor's selectors, by what the engine says of a container. */

import type { Selector } from '../../spiffe/selector.ts';
import type { Container } from './containers.ts';
import type { KINDS } from './kinds.ts';

const PROJECT_LABEL = 'com.docker.compose.project';
const SERVICE_LABEL = 'com.docker.compose.service';

type Kind = keyof typeof KINDS;

/** By kind: the values of `docker:<kind>:<value>` that a container has. */
const VALUES: Readonly<Record<Kind, (container: Container) => readonly (string | undefined)[]>> = {
  label: ({ labels }) => [...labels].filter(([key]) => !isAmbiguous(key)).map(labelValue),
  env: ({ env }) => unambiguous(env),
  image_id: ({ imageName }) => [imageName],
  image_config_digest: ({ imageId }) => [imageId],
  image_digest: ({ imageDigests }) => imageDigests ?? [],
  name: ({ name }) => [name],
  container_id: ({ id }) => [id],
  compose_project: ({ labels }) => [labels.get(PROJECT_LABEL)],
  compose_service: ({ labels }) => [labels.get(SERVICE_LABEL)],
  network: ({ networks }) => networks,
};

const NAMES = Object.keys(VALUES) as Kind[];

/** The kinds as `docker:label`. */
export const DOCKER_KINDS: readonly string[] = NAMES.map((kind) => `docker:${kind}`);

/** The only kind that takes a question of its own, about the image. */
export const IMAGE_DIGEST = 'docker:image_digest';

/** The container's selectors that are kept: values of an environment that nobody asks for go nowhere. */
export function dockerSelectors(container: Container, { asksFor, keeps }: Wanted): Selector[] {
  return NAMES.filter((kind) => asksFor(`docker:${kind}`)).flatMap((kind) =>
    VALUES[kind](container)
      .filter((value) => value !== undefined && value !== '')
      .map((value) => ({ type: 'docker', value: `${kind}:${value}` }))
      .filter(keeps),
  );
}

/** What is wanted of a container's selectors. */
export interface Wanted {
  /** True if some entry asks for selectors of this kind, such as `docker:label`. */
  readonly asksFor: (kind: string) => boolean;
  readonly keeps: (selector: Selector) => boolean;
}

/**
 * The selectors that the labels would give that give none, since their key has a colon: `docker:label:a:b:c` is the label
 * `a` with the value `b:c`, so a label `a:b` with the value `c` must not pass for it.
 */
export function ambiguousLabels({ labels }: Pick<Container, 'labels'>): Selector[] {
  return [...labels]
    .filter(([key]) => isAmbiguous(key))
    .map((label) => ({ type: 'docker', value: `label:${labelValue(label)}` }));
}

function isAmbiguous(key: string): boolean {
  return key === '' || key.includes(':');
}

function labelValue([key, value]: readonly [string, string]): string {
  return `${key}:${value}`;
}

/**
 * The variables `NAME=VALUE` of which one alone has the name. Of several with one name a program finds any one, so none
 * gives a selector, and neither does what has no name or no value.
 */
function unambiguous(env: readonly string[]): string[] {
  const byName = new Map<string, string | undefined>();
  for (const variable of env) {
    const equals = variable.indexOf('=');
    if (equals <= 0) continue;
    const name = variable.slice(0, equals);
    byName.set(name, byName.has(name) ? undefined : variable);
  }
  return [...byName.values()].filter((variable) => variable !== undefined);
}
