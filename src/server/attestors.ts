/** Creates the attestors that the settings enable. */

import { type AttestorParts, type RunningAttestor, runningWith } from '../attest/index.ts';
import type { HostConfig } from '../config/index.ts';
import type { Selector } from '../spiffe/index.ts';
import type { Parts } from './parts.ts';

export async function openAttestors(
  config: HostConfig,
  from: AttestorParts,
  parts: Parts,
): Promise<readonly RunningAttestor[]> {
  const attestors: RunningAttestor[] = [];
  for (const description of runningWith(config)) {
    const attestor = await description.create(from, config);
    parts.defer(() => attestor.close?.());
    attestors.push(attestor);
  }
  return attestors;
}

/** Why no caller can have the selector, beside the others of its entry; undefined if a caller may have it. */
export function whyNoCallerHas(
  selector: Selector,
  beside: readonly Selector[],
  attestors: readonly RunningAttestor[],
): string | undefined {
  const attestor = attestors.find(({ name }) => name === selector.type);
  return attestor === undefined
    ? `no ${selector.type} attestor runs here`
    : attestor.whyNever?.(selector.value, beside);
}

/** Why the placeholder of this name has a value for no caller; undefined if it may have one. */
export function whyNoPlaceholder(name: string, attestors: readonly RunningAttestor[]): string | undefined {
  const type = name.split('.', 1)[0]!;
  return attestors.some((attestor) => attestor.name === type) ? undefined : `no ${type} attestor runs here`;
}

/** The selector that was probably meant instead of this one, which no caller can have; undefined if unknown. */
export function meantSelector(
  { type, value, negated }: Selector,
  attestors: readonly RunningAttestor[],
): Selector | undefined {
  const other = attestors.find(({ name }) => name === type)?.meant?.(value);
  return other === undefined ? undefined : { type, value: other, ...(negated === true ? { negated } : {}) };
}

/** Checks whether an attestor works now. */
export async function probe(attestor: RunningAttestor): Promise<{ name: string; error: string | null }> {
  const { name } = attestor;
  try {
    await attestor.check?.();
    return { name, error: null };
  } catch (thrown) {
    return { name, error: (thrown as Error).message };
  }
}
