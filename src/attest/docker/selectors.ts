/**
 * The docker attestor's selectors. The first four are SPIRE's, by name and meaning.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_docker.md
 */

import type { Selector } from '../../spiffe/selector.ts';
import type { Container } from './containers.ts';

const PROJECT_LABEL = 'com.docker.compose.project';
const SERVICE_LABEL = 'com.docker.compose.service';

/** By kind: the values of `docker:<kind>:<value>` that a container has. */
const VALUES: Readonly<Record<string, (container: Container) => readonly (string | undefined)[]>> = {
  label: ({ labels }) => [...labels].map(([key, value]) => `${key}:${value}`),
  env: ({ env }) => env,
  image_id: ({ imageName }) => [imageName],
  image_config_digest: ({ imageId }) => [imageId],
  image_digest: ({ imageDigests }) => imageDigests ?? [],
  name: ({ name }) => [name],
  container_id: ({ id }) => [id],
  compose_project: ({ labels }) => [labels.get(PROJECT_LABEL)],
  compose_service: ({ labels }) => [labels.get(SERVICE_LABEL)],
  network: ({ networks }) => networks,
};

const KINDS = Object.keys(VALUES);

/** The kinds as `docker:label`. */
export const DOCKER_KINDS: readonly string[] = KINDS.map((kind) => `docker:${kind}`);

/** The only kind that takes a question of its own, about the image. */
export const IMAGE_DIGEST = 'docker:image_digest';

/** The container's selectors of the kinds that are asked for: values of an environment that nobody asks for go nowhere. */
export function dockerSelectors(container: Container, asksFor: (kind: string) => boolean): Selector[] {
  return KINDS.filter((kind) => asksFor(`docker:${kind}`)).flatMap((kind) =>
    VALUES[kind]!(container)
      .filter((value) => value !== undefined && value !== '')
      .map((value) => ({ type: 'docker', value: `${kind}:${value}` })),
  );
}
