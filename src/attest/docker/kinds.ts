/**
 * The kinds of the docker attestor's selectors. The first four are SPIRE's, by name and meaning.
 *
 * @see https://github.com/spiffe/spire/blob/main/doc/plugin_agent_workloadattestor_docker.md
 */

import type { SelectorKinds } from '../description.ts';

const TEXT_RULE = 'it is not empty';
const LABEL_RULE = 'it is KEY:VALUE, the key without colons; the value may be empty';
const ENV_RULE = 'it is NAME=VALUE, as the container has it';
const DIGEST_RULE = 'it is sha256: and 64 hexadecimal digits in lower case';

/** On demand, because a container may have any number of labels, variables and networks. */
const BY_ENGINE = { source: 'the container engine', onDemand: 'selector' } as const;
/** Values that are chosen by whoever starts the container or builds its image. */
const CHOSEN = { ...BY_ENGINE, chosen: true } as const;
/** A label that the image has itself is not used; see further-facts.ts. */
const BY_STARTER = 'whoever starts the container';

export const DOCKER_SELECTOR_KINDS = {
  label: { ...CHOSEN, fits: (value) => value.indexOf(':') > 0, rule: LABEL_RULE, nameEnd: ':', rendered: BY_STARTER },
  env: { ...CHOSEN, fits: (value) => value.indexOf('=') > 0, rule: ENV_RULE, nameEnd: '=', secret: true },
  image_id: {
    ...CHOSEN,
    fits: isText,
    rule: 'it is the image name with which the container was created, such as envoyproxy/envoy:v1.36.0',
  },
  image_config_digest: { ...BY_ENGINE, fits: isDigest, rule: DIGEST_RULE },
  image_digest: { ...BY_ENGINE, fits: isDigest, rule: DIGEST_RULE },
  name: {
    ...CHOSEN,
    fits: (value) => /^[A-Za-z0-9][\w.-]*$/.test(value),
    rule: 'it is letters, digits, _ . and -, without a slash',
    rendered: BY_STARTER,
  },
  container_id: {
    ...BY_ENGINE,
    fits: (value) => /^[0-9a-f]{64}$/.test(value),
    rule: 'it is the full id, 64 hexadecimal digits',
    rendered: 'the container engine',
  },
  compose_project: { ...CHOSEN, fits: isText, rule: TEXT_RULE, rendered: BY_STARTER },
  compose_service: { ...CHOSEN, fits: isText, rule: TEXT_RULE, rendered: BY_STARTER },
  network: { ...CHOSEN, fits: isText, rule: TEXT_RULE },
} as const satisfies SelectorKinds;

function isText(value: string): boolean {
  return value !== '';
}

function isDigest(value: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(value);
}
