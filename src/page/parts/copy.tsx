/** Text that the reader can copy by a button. */

import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { Icon } from './icon.tsx';

/** How long the button says that it copied, in milliseconds. */
const SAID_MS = 2_000;

/** @param what names the text, for screen readers: `command` */
export function CopyButton({ text, what }: { text: string; what: string }) {
  const [said, setSaid] = useState<'copied' | 'failed'>();
  useEffect(() => {
    if (said === undefined) return;
    const timer = setTimeout(() => setSaid(undefined), SAID_MS);
    return () => clearTimeout(timer);
  }, [said]);
  const label = said === 'copied' ? 'Copied' : said === 'failed' ? 'Select it to copy' : `Copy ${what}`;
  return (
    <button
      type="button"
      class="icon-button copy"
      data-said={said}
      title={label}
      onClick={() => {
        write(text).then(
          () => setSaid('copied'),
          () => setSaid('failed'),
        );
      }}
    >
      <Icon name={said === 'copied' ? 'check' : 'copy'} />
      <span class="unseen-label" aria-live="polite">
        {label}
      </span>
    </button>
  );
}

/** A short text with its button: an id, a serial. */
export function CopyText({ text, what, children }: { text: string; what: string; children?: ComponentChildren }) {
  return (
    <span class="copy-text">
      {children ?? <bdi class="mono">{text}</bdi>}
      <CopyButton text={text} what={what} />
    </span>
  );
}

/** A command to run in a terminal. */
export function Command({ text }: { text: string }) {
  return (
    <div class="command">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a long command scrolls, which the keyboard must be able to do */}
      <code tabIndex={0}>{text}</code>
      <CopyButton text={text} what="command" />
    </div>
  );
}

/** Pages by plain HTTP on another name than localhost have no clipboard. */
async function write(text: string): Promise<void> {
  if (navigator.clipboard === undefined) throw new Error('no clipboard');
  await navigator.clipboard.writeText(text);
}
