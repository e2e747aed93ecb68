/** A table of a few rows of any height. On a narrow screen each row is a card, whose values have the headings beside them. */

import type { ComponentChildren } from 'preact';
import type { Column } from './column.ts';
import { Heading, type Sort } from './data-table.tsx';

interface SimpleTableProps<R> {
  readonly label: string;
  readonly rows: readonly R[];
  readonly rowKey: (row: R) => string;
  readonly columns: readonly Column<R>[];
  readonly sort?: Sort | undefined;
  readonly onSort?: (sort: Sort) => void;
  /** More about a row, over the whole width below it. */
  readonly below?: (row: R) => ComponentChildren;
}

// The roles are there because as cards the elements are no table to browsers any more.
export function SimpleTable<R>({ label, rows, rowKey, columns, sort, onSort, below }: SimpleTableProps<R>) {
  return (
    <div class="simple-box">
      {/* biome-ignore lint/a11y/noRedundantRoles: see above */}
      <table class="simple" role="table" aria-label={label}>
        {/* biome-ignore lint/a11y/noRedundantRoles: see above */}
        <thead role="rowgroup">
          {/* biome-ignore lint/a11y/noRedundantRoles: see above */}
          <tr role="row">
            {columns.map((column) => (
              <Heading key={column.key} column={column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        {rows.map((row) => {
          const more = below?.(row);
          return (
            // biome-ignore lint/a11y/noRedundantRoles: see above
            <tbody role="rowgroup" key={rowKey(row)}>
              {/* biome-ignore lint/a11y/noRedundantRoles: see above */}
              <tr role="row">
                {columns.map(({ key, title, numeric, cell }) => (
                  // biome-ignore lint/a11y/noRedundantRoles: see above
                  <td role="cell" key={key} class={numeric === true ? 'numeric' : ''} data-title={title}>
                    <div>{cell(row)}</div>
                  </td>
                ))}
              </tr>
              {more !== undefined && more !== null && (
                // biome-ignore lint/a11y/noRedundantRoles: see above
                <tr role="row" class="below">
                  {/* biome-ignore lint/a11y/noRedundantRoles: see above */}
                  <td role="cell" colSpan={columns.length}>
                    {more}
                  </td>
                </tr>
              )}
            </tbody>
          );
        })}
      </table>
    </div>
  );
}
