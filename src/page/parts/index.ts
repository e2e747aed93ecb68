/** The parts that views are made of; README.md says what each is for. */

export type { Column } from './column.ts';
export { Command, CopyButton, CopyText } from './copy.tsx';
export { DataTable, type Sort } from './data-table.tsx';
export { Confirm, Dialog } from './dialog.tsx';
export { ExpiryBar } from './expiry-bar.tsx';
export { type ControlProps, Field, SearchField } from './field.tsx';
export { FilterChoice, FilterField, FilterTime } from './filter-field.tsx';
export { HostileText } from './hostile-text.tsx';
export { Icon, type IconName } from './icon.tsx';
export { Answered, EmptyState, ErrorNote, Loading } from './notes.tsx';
export { Pager } from './pager.tsx';
export { Fact, Facts, Panel, Title } from './panel.tsx';
export { SimpleTable } from './simple-table.tsx';
export { Mark, SECRET_STATES, STATES, StateMark, type Tone } from './state.tsx';
export { Tabs } from './tabs.tsx';
export { exactTime, relative, span, Time } from './time.tsx';
