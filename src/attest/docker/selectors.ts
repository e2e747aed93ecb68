/** Derives the docker attestor's selectors from the engine's facts about a container. */

import type { Selector } from '../../spiffe/index.ts';
import type { Container } from './containers.ts';
import type { DOCKER_SELECTOR_KINDS } from './kinds.ts';

/** The labels that give the selectors of these kinds. */
export const LABEL_OF_KIND = {
  compose_project: 'com.docker.compose.project',
  compose_service: 'com.docker.compose.service',
} as const;

type DockerKind = keyof typeof DOCKER_SELECTOR_KINDS;

/** For each kind, the values of a container's selectors `docker:<kind>:<value>`. */
const VALUES: Readonly<Record<DockerKind, (container: Container) => readonly (string | undefined)[]>> = {
  label: ({ labels }) => [...labels].filter(([key]) => !isAmbiguous(key)).map(labelValue),
  env: ({ env }) => unambiguous(env),
  image_id: ({ imageName }) => [imageName],
  image_config_digest: ({ imageId }) => [imageId],
  image_digest: ({ image }) => (image !== undefined && 'digests' in image ? image.digests : []),
  name: ({ name }) => [name],
  container_id: ({ id }) => [id],
  compose_project: ({ labels }) => [labels.get(LABEL_OF_KIND.compose_project)],
  compose_service: ({ labels }) => [labels.get(LABEL_OF_KIND.compose_service)],
  network: ({ networks }) => networks,
};

const NAMES = Object.keys(VALUES) as DockerKind[];

/** All values of the container's selectors of this kind; undefined if there is no such kind. */
export function valuesOfKind(kind: string, container: Container): readonly (string | undefined)[] | undefined {
  return Object.hasOwn(VALUES, kind) ? VALUES[kind as DockerKind](container) : undefined;
}

/** The kinds in the form `docker:label`. */
export const DOCKER_KINDS: readonly string[] = NAMES.map((kind) => `docker:${kind}`);

/** The only kind that needs an additional request to the engine, about the image. */
export const IMAGE_DIGEST = 'docker:image_digest';

/** The container's selectors that pass the filter. */
export function dockerSelectors(container: Container, { asksFor, keeps }: SelectorFilter): Selector[] {
  return NAMES.filter((kind) => asksFor(`docker:${kind}`)).flatMap((kind) =>
    VALUES[kind](container)
      .filter((value) => value !== undefined && value !== '')
      .map((value) => ({ type: 'docker', value: `${kind}:${value}` }))
      .filter(keeps),
  );
}

export interface SelectorFilter {
  /** True for kinds to keep, such as `docker:label`. */
  readonly asksFor: (kind: string) => boolean;
  readonly keeps: (selector: Selector) => boolean;
}

/**
 * The selectors that labels with a colon in their key would give. They give none, because `docker:label:a:b:c` means
 * the label `a` with the value `b:c`, and a label `a:b` with the value `c` must not match it.
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
 * The variables `NAME=VALUE` whose name occurs once. If a name occurs several times, it depends on the program which
 * value it gets, so none gives a selector. Texts without a name or without `=` are left out.
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
