/** What negative selectors and templates need of the docker attestor. */

import type { FurtherFacts, Placeholder, PlaceholderValue } from '../types.ts';
import type { Container } from './containers.ts';
import { ambiguousLabels, LABEL_OF_KIND, valuesOfKind } from './selectors.ts';

/** Of a caller outside of containers. */
export const OUTSIDE: FurtherFacts = {
  lacks: () => true,
  valueFor: () => ({ why: 'the caller is in no container' }),
};

export function furtherFacts(container: Container): FurtherFacts {
  return {
    lacks: ({ value }) => {
      const colon = value.indexOf(':');
      return lacks(value.slice(0, colon), value.slice(colon + 1), container);
    },
    valueFor: (placeholder) => valueFor(placeholder, container),
  };
}

/** True if the placeholder's value is a label, so that the labels of the image must be known. */
export function isOfLabel(placeholder: Placeholder): boolean {
  return labelOf(placeholder) !== undefined;
}

/** False also where the engine's answer leaves it open whether the container has the fact. */
function lacks(kind: string, value: string, container: Container): boolean {
  const values = valuesOfKind(kind, container);
  if (values === undefined || values.includes(value)) return false;
  if (kind === 'label') return !ambiguousLabels(container).some((label) => label.value === `label:${value}`);
  // Of a variable that is set twice, it depends on the program which value it has.
  if (kind === 'env') return !isSetTwice(value.slice(0, value.indexOf('=') + 1), container);
  if (kind === 'image_digest') return container.image !== undefined && 'digests' in container.image;
  if (kind === 'network') return container.hasOwnNetworks;
  return true;
}

function isSetTwice(beginning: string, { env }: Container): boolean {
  return env.filter((variable) => variable.startsWith(beginning)).length > 1;
}

function valueFor(placeholder: Placeholder, container: Container): PlaceholderValue {
  const label = labelOf(placeholder);
  if (label !== undefined) return valueOfLabel(label, container);
  return { value: placeholder.kind === 'name' ? container.name : container.id };
}

function labelOf({ kind, key }: Placeholder): string | undefined {
  return kind === 'label' ? key : (LABEL_OF_KIND as Readonly<Record<string, string>>)[kind];
}

/**
 * A container inherits the labels of its image, so whoever builds an image would choose the value. A label is used only
 * if the image does not have it with this value.
 */
function valueOfLabel(label: string, { labels, image, imageId }: Container): PlaceholderValue {
  const value = labels.get(label);
  if (value === undefined) return { why: `the container has no label ${label}` };
  if (image === undefined) return { why: 'the labels of its image have not been read yet' };
  if ('why' in image) return { why: `${image.why}, so it is not known whether the label ${label} is the image's own` };
  if (image.labels.get(label) !== value || isSetByCompose(label, labels, imageId)) return { value };
  return { why: `the image itself has the label ${label} with this value, and any image could` };
}

/** The id of the image that Compose creates a container from. No image can have it: it is a digest of the image. */
const COMPOSE_IMAGE = 'com.docker.compose.image';
const SET_BY_COMPOSE: readonly string[] = Object.values(LABEL_OF_KIND);

/**
 * True for the labels of Compose if Compose created the container: it sets them on each container that it creates. It
 * also sets them on images that it builds, so that a comparison with the image would always find them there.
 */
function isSetByCompose(label: string, labels: ReadonlyMap<string, string>, imageId: string): boolean {
  return SET_BY_COMPOSE.includes(label) && labels.get(COMPOSE_IMAGE) === imageId;
}
