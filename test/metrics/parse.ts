/** Reads the text formats of Prometheus, strictly: a line that it does not understand is an error. */

export interface Parsed {
  /** The type by the name of the family. */
  readonly types: ReadonlyMap<string, string>;
  readonly samples: readonly {
    readonly name: string;
    readonly labels: Record<string, string>;
    readonly value: number;
  }[];
}

const SAMPLE = /^([a-z_0-9]+)(?:\{((?:[a-z_]+="(?:[^"\\]|\\.)*",?)*)\})? ([-+0-9.eInfNa]+)$/s;

export function parseMetrics(text: string): Parsed {
  const types = new Map<string, string>();
  const samples: Parsed['samples'][number][] = [];
  // Not at other line ends, which a label may have.
  for (const line of text.split('\n')) {
    if (line === '' || line === '# EOF' || line.startsWith('# HELP ') || line.startsWith('# UNIT ')) continue;
    if (line.startsWith('# TYPE ')) {
      const [, , name, type] = line.split(' ');
      if (types.has(name!)) throw new Error(`two families are named ${name}`);
      types.set(name!, type!);
      continue;
    }
    const match = SAMPLE.exec(line);
    if (match === null) throw new Error(`this is no sample: ${line}`);
    samples.push({
      name: match[1]!,
      labels: readLabels(match[2] ?? ''),
      value: Number(match[3]!.replace('Inf', 'Infinity')),
    });
  }
  return { types, samples };
}

function readLabels(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const [, name, value] of text.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/gs)) {
    if (name! in labels) throw new Error(`two labels are named ${name}`);
    labels[name!] = value!.replaceAll(/\\(.)/gs, (_, one: string) => (one === 'n' ? '\n' : one));
  }
  return labels;
}

/** The sum of the samples with this name and these labels; undefined if there is none. */
export function sumOf({ samples }: Parsed, name: string, labels: Record<string, string> = {}): number | undefined {
  const found = samples.filter(
    (one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  );
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
}
