/**
 * Writes samples in the text format of Prometheus or in OpenMetrics, which differ in the names of counters, in units and
 * in the end of the text.
 *
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 * @see https://github.com/OpenObservability/OpenMetrics/blob/main/specification/OpenMetrics.md
 */

import { FAMILIES } from './families.ts';
import type { Labels, Sample, Samples } from './samples.ts';

export type Format = 'text' | 'openmetrics';

export const MEDIA_TYPES: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/** OpenMetrics only if the Accept header names it with a weight that is not 0 and not below that of plain text. */
export function formatFor(accept = ''): Format {
  let [open, text] = [0, 0];
  for (const range of accept.toLowerCase().split(',')) {
    const [type, ...parameters] = range.split(';').map((part) => part.trim());
    const weight = Number(parameters.find((one) => one.startsWith('q='))?.slice(2) ?? 1);
    const version = parameters.find((one) => one.startsWith('version='))?.slice('version='.length);
    if (type === 'application/openmetrics-text' && (version === undefined || version === '1.0.0')) {
      open = Math.max(open, weight || 0);
    } else if (type === 'text/plain') text = Math.max(text, weight || 0);
  }
  return open > 0 && open >= text ? 'openmetrics' : 'text';
}

export function write(samples: Samples, format: Format): string {
  const isOpen = format === 'openmetrics';
  let text = '';
  for (const [name, values] of samples.families()) {
    const { type, unit, meaning } = FAMILIES[name];
    const shown = isOpen && type === 'counter' ? name.slice(0, -'_total'.length) : name;
    text += `# HELP ${shown} ${isOpen ? escapeValue(meaning) : escapeHelp(meaning)}\n# TYPE ${shown} ${type}\n`;
    if (isOpen && unit !== '') text += `# UNIT ${shown} ${unit}\n`;
    for (const sample of values) text += 'value' in sample ? line(name, sample) : histogram(name, sample, isOpen);
  }
  return isOpen ? `${text}# EOF\n` : text;
}

function line(name: string, { labels, value }: { labels: Labels; value: number }): string {
  return `${name}${labelText(labels)} ${number(value)}\n`;
}

function histogram(name: string, sample: Exclude<Sample, { value: number }>, isOpen: boolean): string {
  const { labels, bounds, counts, count, sum } = sample;
  let text = '';
  for (const [i, bound] of bounds.entries()) {
    // OpenMetrics has the canonical form of a float.
    const le = isOpen && Number.isInteger(bound) ? `${bound}.0` : String(bound);
    text += `${name}_bucket${labelText({ ...labels, le })} ${counts[i]}\n`;
  }
  text += `${name}_bucket${labelText({ ...labels, le: '+Inf' })} ${count}\n`;
  return `${text}${name}_sum${labelText(labels)} ${number(sum)}\n${name}_count${labelText(labels)} ${count}\n`;
}

function labelText(labels: Labels): string {
  let text = '';
  for (const [name, value] of Object.entries(labels))
    text += `${text === '' ? '' : ','}${name}="${escapeValue(value)}"`;
  return text === '' ? '' : `{${text}}`;
}

function number(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
}

/** The text format of help has no escape for quotes. */
function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function escapeValue(text: string): string {
  return escapeHelp(text).replaceAll('"', '\\"');
}
