/**
 * A table of very many rows: only those in view are in the document. All rows have the same height. One row is active; the
 * arrow keys, Page Up and Down, Home and End move it, Enter opens it.
 */

import { Component, type ComponentChildren } from 'preact';
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { type Column, fitting, widthsOf } from './column.ts';
import { Icon } from './icon.tsx';

/** The height of a row in rem; style sheets know it as --row. */
const ROW_REM = 2.25;
/** Rows drawn above and below what is in view. */
const SPARE = 8;

export interface Sort {
  readonly key: string;
  readonly down: boolean;
}

interface DataTableProps<R> {
  readonly label: string;
  readonly rows: readonly R[];
  readonly rowKey: (row: R) => string;
  readonly columns: readonly Column<R>[];
  /** The view of a row. */
  readonly rowHref: (row: R) => string;
  readonly sort?: Sort | undefined;
  readonly onSort?: (sort: Sort) => void;
  /** Where the reader was is kept under this name, for when the reader comes back. */
  readonly memory?: string;
}

/** Scroll positions and active rows by the name of their table. */
const memories = new Map<string, { top: number; active: string | undefined }>();

export function DataTable<R>(props: DataTableProps<R>) {
  const { label, rows, rowKey, columns, rowHref, sort, onSort, memory } = props;
  const box = useRef<HTMLDivElement>(null);
  const hint = useId();
  const [kept] = useState(() => memories.get(memory ?? ''));
  const [view, setView] = useState({ top: kept?.top ?? 0, height: 800, width: 1_000, rem: 14 });
  const [active, setActive] = useState(kept?.active);
  const wantsFocus = useRef(false);
  const row = ROW_REM * view.rem;

  useLayoutEffect(() => {
    const element = box.current!;
    if (kept !== undefined) element.scrollTop = kept.top;
    const measure = () => {
      const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
      setView({ top: element.scrollTop, height: element.clientHeight, width: element.clientWidth, rem });
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, [kept]);

  const count = rows.length;
  const first = Math.max(0, Math.min(count, Math.floor(view.top / row)) - SPARE);
  const last = Math.min(count, Math.ceil((view.top + view.height) / row) + SPARE);
  const activeIndex = Math.max(0, active === undefined ? 0 : rows.findIndex((one) => rowKey(one) === active));
  const shown = fitting(columns, view.width / view.rem);
  const widths = widthsOf(shown, view.width / view.rem);
  if (memory !== undefined) memories.set(memory, { top: view.top, active });

  const moveTo = (index: number) => {
    const target = rows[Math.max(0, Math.min(count - 1, index))];
    if (target === undefined) return;
    const at = Math.max(0, Math.min(count - 1, index)) * row;
    const element = box.current!;
    // The header covers the first row of the box.
    if (at < element.scrollTop) element.scrollTop = at;
    else if (at + 2 * row > element.scrollTop + element.clientHeight)
      element.scrollTop = at + 2 * row - element.clientHeight;
    setView((before) => ({ ...before, top: element.scrollTop }));
    wantsFocus.current = true;
    setActive(rowKey(target));
  };
  useLayoutEffect(() => {
    if (!wantsFocus.current) return;
    wantsFocus.current = false;
    box.current!.querySelector<HTMLElement>('tr[data-active] a')?.focus({ preventScroll: true });
  });

  const page = Math.max(1, Math.floor(view.height / row) - 2);
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ((event.target as Element).closest('thead') !== null) return;
    const to = {
      ArrowDown: activeIndex + 1,
      ArrowUp: activeIndex - 1,
      PageDown: activeIndex + page,
      PageUp: activeIndex - page,
      Home: 0,
      End: count - 1,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    moveTo(to);
  };

  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys move between the links in it
    <div
      class="table-box"
      ref={box}
      onKeyDown={onKeyDown}
      onScroll={({ currentTarget: { scrollTop } }) => setView((before) => ({ ...before, top: scrollTop }))}
    >
      <p class="unseen-label" id={hint}>
        The arrow keys move between rows, Enter opens one.
      </p>
      <table class="data" aria-label={label} aria-rowcount={count + 1} aria-describedby={hint}>
        <colgroup>
          {shown.map(({ key }, index) => (
            <col key={key} style={{ width: `${widths[index]}rem` }} />
          ))}
        </colgroup>
        <thead>
          <tr aria-rowindex={1}>
            {shown.map((column) => (
              <Heading key={column.key} column={column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          <Gap height={first * row} columns={shown.length} />
          {rows.slice(first, last).map((one, index) => (
            <Row
              key={rowKey(one)}
              row={one}
              index={first + index}
              columns={shown}
              href={rowHref(one)}
              isActive={first + index === activeIndex}
              onActive={() => setActive(rowKey(one))}
            />
          ))}
          <Gap height={(count - last) * row} columns={shown.length} />
        </tbody>
      </table>
    </div>
  );
}

/** Stands for the rows that are not drawn. */
function Gap({ height, columns }: { height: number; columns: number }) {
  if (height <= 0) return null;
  return (
    // biome-ignore lint/a11y/noAriaHiddenOnFocusable: nothing in it takes the focus
    <tr class="gap" aria-hidden="true">
      <td colSpan={columns} style={{ height: `${height}px` }} />
    </tr>
  );
}

interface HeadingProps<R> {
  readonly column: Column<R>;
  readonly sort: Sort | undefined;
  readonly onSort: ((sort: Sort) => void) | undefined;
}

/** The heading of a column; a button if the table can be sorted by it. */
export function Heading<R>({ column: { key, title, numeric, compare }, sort, onSort }: HeadingProps<R>) {
  const className = numeric === true ? 'numeric' : '';
  if (compare === undefined || onSort === undefined)
    return (
      <th scope="col" class={className}>
        {title}
      </th>
    );
  const isSorted = sort?.key === key;
  return (
    <th scope="col" class={className} aria-sort={isSorted ? (sort.down ? 'descending' : 'ascending') : 'none'}>
      <button type="button" class="heading" onClick={() => onSort({ key, down: isSorted ? !sort.down : false })}>
        {title}
        {isSorted && <Icon name={sort.down ? 'down' : 'up'} />}
      </button>
    </th>
  );
}

interface RowProps<R> {
  readonly row: R;
  readonly index: number;
  readonly columns: readonly Column<R>[];
  readonly href: string;
  readonly isActive: boolean;
  readonly onActive: () => void;
}

/** Drawn again only if something about it changed. */
class Row<R> extends Component<RowProps<R>> {
  override shouldComponentUpdate(next: RowProps<R>): boolean {
    const { row, index, columns, href, isActive } = this.props;
    return (
      next.row !== row ||
      next.index !== index ||
      next.isActive !== isActive ||
      next.href !== href ||
      !isSame(next.columns, columns)
    );
  }

  override render(): ComponentChildren {
    const { row, index, columns, href, isActive, onActive } = this.props;
    return (
      <tr aria-rowindex={index + 2} data-active={isActive ? '' : undefined} class={index % 2 === 1 ? 'odd' : ''}>
        {columns.map(({ key, numeric, isLink, cell }) => (
          <td key={key} class={numeric === true ? 'numeric' : ''}>
            {isLink === true ? (
              <a class="row-link" href={href} tabIndex={isActive ? 0 : -1} onFocus={onActive}>
                {cell(row)}
              </a>
            ) : (
              cell(row)
            )}
          </td>
        ))}
      </tr>
    );
  }
}

function isSame<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((one, index) => one === b[index]);
}
