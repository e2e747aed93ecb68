/**
 * Text that others chose: node ids, labels, selectors, answers of proxies. It is only ever text, does not change the order
 * of what stands around it, shows characters that cannot be seen, and is cut until the reader asks for all of it.
 */

import { useState } from 'preact/hooks';

/**
 * Control characters (C0, DEL and C1), line ends, characters that change the reading order (UAX #9), invisible ones, and
 * halves of pairs. The command line escapes the same ones.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{Cs}]/u;

/** Shown at first, in UTF-16 units. */
const CUT = 300;

interface HostileTextProps {
  readonly text: string;
  /** Length from which it is cut, in UTF-16 units. */
  readonly cut?: number;
  /** Keeps line ends. */
  readonly lines?: boolean;
  /** One line, cut by the width there is; whoever shows it shows all of it elsewhere. */
  readonly short?: boolean;
}

export function HostileText({ text, cut = CUT, lines = false, short = false }: HostileTextProps) {
  const [all, setAll] = useState(false);
  const isLong = text.length > cut;
  const shown = isLong && !all ? cutAt(text, cut) : text;
  const className = short ? 'hostile short' : all && isLong ? 'hostile all' : 'hostile';
  const inner = (
    // With much text, the box scrolls, which the keyboard must be able to do too.
    <bdi class={lines ? `${className} lines` : className} {...(all && isLong ? { tabIndex: 0 } : {})}>
      {visible(shown, lines)}
      {isLong && !all ? '…' : ''}
    </bdi>
  );
  if (short) return inner;
  if (!isLong) return inner;
  return (
    <span class="hostile-box">
      {inner}{' '}
      <button type="button" class="quiet small" aria-expanded={all} onClick={() => setAll(!all)}>
        {all ? 'Show less' : `Show all ${text.length.toLocaleString('en')} characters`}
      </button>
    </span>
  );
}

/** Cuts between characters, not within one. */
function cutAt(text: string, length: number): string {
  const code = text.charCodeAt(length - 1);
  return text.slice(0, code >= 0xd800 && code <= 0xdbff ? length - 1 : length);
}

/** Text with its unseen characters named. */
function visible(text: string, lines: boolean) {
  if (!UNSEEN.test(text)) return text;
  const parts: (string | preact.JSX.Element)[] = [];
  let plain = '';
  for (const character of text) {
    if ((lines && character === '\n') || !UNSEEN.test(character)) {
      plain += character;
      continue;
    }
    if (plain !== '') parts.push(plain);
    plain = '';
    parts.push(<span class="unseen">{nameOf(character)}</span>);
  }
  if (plain !== '') parts.push(plain);
  return parts;
}

function nameOf(character: string): string {
  const code = character.codePointAt(0)!;
  if (character === '\n') return '\u240a';
  if (character === '\r') return '\u240d';
  if (character === '\t') return '\u2409';
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}
