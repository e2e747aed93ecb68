/** JSON in which no object has a name twice: JSON.parse takes the last of them, and RFC 8259 (section 4) leaves it open. */

/** The value of the text; undefined where it is no JSON or an object in it has a name twice. */
export function readJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  return namesIn(value) === namesWritten(text) ? value : undefined;
}

/** In JSON a string is a name exactly where a colon follows. */
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g;

function namesWritten(json: string): number {
  let names = 0;
  for (const [, colon] of json.matchAll(STRING)) if (colon !== undefined) names += 1;
  return names;
}

/** Not recursive: the text may nest deeper than calls can. */
function namesIn(value: unknown): number {
  let names = 0;
  const open: unknown[] = [value];
  while (open.length > 0) {
    const one = open.pop();
    if (typeof one !== 'object' || one === null) continue;
    const members: unknown[] = Object.values(one);
    if (!Array.isArray(one)) names += members.length;
    for (const member of members) open.push(member);
  }
  return names;
}
