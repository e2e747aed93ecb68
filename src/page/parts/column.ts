/** Columns of tables. */

import type { ComponentChildren } from 'preact';

export interface Column<R> {
  readonly key: string;
  readonly title: string;
  /** Least width in rem. */
  readonly width: number;
  /** Share of the width that is left over; 0 by default. */
  readonly grow?: number;
  /** Where the table is too narrow, the column with the highest rank goes first; one of rank 0 stays. */
  readonly rank?: number;
  /** In a DataTable, its content is the link to the view of the row; one column is. */
  readonly isLink?: boolean;
  /** Right-aligned, in digits of the same width. */
  readonly numeric?: boolean;
  /** Compares rows, if the column can be sorted by. */
  readonly compare?: (a: R, b: R) => number;
  readonly cell: (row: R) => ComponentChildren;
}

/** Drops columns by their rank until the others fit. @param width in rem */
export function fitting<R>(columns: readonly Column<R>[], width: number): readonly Column<R>[] {
  let kept = columns;
  while (kept.reduce((sum, column) => sum + column.width, 0) > width) {
    const worst = Math.max(...kept.map(({ rank = 0 }) => rank));
    if (worst === 0) break;
    kept = kept.filter(({ rank = 0 }) => rank !== worst);
  }
  return kept;
}

/** The widths of columns in rem: what is left over is shared out. @param width of the table, in rem */
export function widthsOf<R>(columns: readonly Column<R>[], width: number): readonly number[] {
  const left = Math.max(0, width - columns.reduce((sum, column) => sum + column.width, 0));
  const shares = columns.reduce((sum, { grow = 0 }) => sum + grow, 0);
  return columns.map(
    ({ width: least, grow = 0 }) => least + (shares === 0 ? left / columns.length : (left * grow) / shares),
  );
}
