/** The settings of a SPIRE file as a flat list, with their lines. */

import type { HclNode, HclObject } from '../hcl/index.ts';
import { fault } from './json-input.ts';

export interface SpireSetting {
  readonly file: string;
  readonly line: number;
  /** Keys joined by dots, in lower case except for names of plugins and trust domains. */
  readonly path: string;
  /** The value of a scalar as text, the texts of a list; undefined for an empty block or something else. */
  readonly texts: readonly string[] | undefined;
  readonly isList: boolean;
}

/** Keys whose values are names of the user. */
const NAMED = /^(plugins\.[^.]+|server\.federation\.federates_with)$/;

/** Maximum number of settings in a file. */
const MAX_SETTINGS = 10_000;

/** @throws ERR_CONFIG if there are too many */
export function settingsOf(root: HclObject, file: string): SpireSetting[] {
  const settings: SpireSetting[] = [];
  const visit = (node: HclNode, path: string, line: number): void => {
    const add = (texts: readonly string[] | undefined, isList: boolean) =>
      settings.push({ file, line, path, texts, isList });
    if (node.kind === 'list') {
      const objects = node.elements.filter(({ kind }) => kind === 'object');
      if (objects.length === 0) add(textsOf(node.elements), true);
      else for (const [index, element] of node.elements.entries()) visit(element, `${path}[${index}]`, element.line);
    } else if (node.kind === 'object') {
      if (node.items.length === 0 && path !== '') add(undefined, false);
      for (const { key, line: at, value } of node.items) {
        const name = NAMED.test(path) || path === 'plugins' ? key : key.toLowerCase();
        visit(value, path === '' ? name : `${path}.${name}`, at);
      }
    } else add([node.text], false);
  };
  visit(root, '', root.line);
  if (settings.length > MAX_SETTINGS)
    throw fault(file, `it has ${settings.length} settings`, `a file of SPIRE has at most ${MAX_SETTINGS} here`);
  return settings;
}

function textsOf(elements: readonly HclNode[]): string[] | undefined {
  const texts = elements.flatMap((one) => (one.kind === 'object' || one.kind === 'list' ? [] : [one.text]));
  return texts.length === elements.length ? texts : undefined;
}

/** Parts of names of settings whose values are secrets, or contain them. */
const SECRET = /token|secret|password|passphrase|connection_string|access_key|api_key|private|approle_id/i;

/** A URL without its user and password. */
export function withoutCredentials(text: string): string {
  return text.replace(/(?<=:\/\/)[^/@\s]*@/, '…@');
}

/**
 * The value for a person; secrets are left out.
 * @param isKnown whether this very setting is known: the value of another one, as a mistyped one, may be a secret
 */
export function shownValue({ path, texts, isList }: SpireSetting, isKnown: boolean): string {
  const name = path.slice(path.lastIndexOf('.') + 1);
  if (texts === undefined) return '{}';
  const isPath = /_(?:path|file|ttl)$/.test(name);
  if (!isPath && (SECRET.test(name) || !isKnown)) return '(not shown)';
  const shown = texts.map(withoutCredentials);
  return isList ? `[${shown.join(', ')}]` : shown.join('');
}
