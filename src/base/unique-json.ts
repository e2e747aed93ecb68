/**
 * Parses JSON without duplicate names in objects. JSON.parse would take the last value of a duplicate; RFC 8259
 * (section 4) leaves the result undefined.
 */

/** The value of the text. @throws Error if it is not JSON or an object in it has a duplicate name */
export function parseUnique(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (namesIn(value) !== namesWritten(text)) throw new Error('an object in it has a name twice');
  return value;
}

/** In JSON a string is a name exactly if a colon follows. */
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"(\s*:)?/g;

function namesWritten(json: string): number {
  let names = 0;
  for (const [, colon] of json.matchAll(STRING)) if (colon !== undefined) names += 1;
  return names;
}

/** Not recursive: the text may be nested deeper than the call stack allows. */
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
