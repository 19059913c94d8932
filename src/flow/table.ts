// What lives here: the table a flow loads into, as the pipeline declares it.
// Invariant: columns have one order, which the encoder writes and COPY names; identifiers are quoted here and nowhere else.
// Apart because readers, loader and preflight have to mean the same table.
import pg from 'pg';

/** Types that rows can be encoded as. Others are loaded as text into a column that casts, or by a stage of your own. */
export type ColumnType =
  | 'text'
  | 'bigint'
  | 'integer'
  | 'double precision'
  | 'numeric'
  | 'boolean'
  | 'timestamptz'
  | 'date'
  | 'jsonb'
  | 'uuid'
  | 'bytea';

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
}

/** `C`: names of the declared columns, so that a wrong one does not compile. */
export interface Target<C extends string = string> {
  /** As declared, with a schema in front if it is not the default one. */
  readonly name: string;
  /** Quoted, for SQL. */
  readonly sql: string;
  /** In the order of the tuples, beginning with source_id and offset: the key of every row that has no other. */
  readonly columns: readonly Column[];
  /** Rows have a key of their own, and the table has no source_id and offset. */
  readonly byKey?: ByKey;
  /** Never there: it only carries the names. */
  readonly names?: C;
}

/** A table whose rows have a key of their own, such as an order number: a row that comes again is updated where it differs. */
export interface ByKey<C extends string = string> {
  /** Columns that name a row; the table has a unique index on them. */
  readonly key: readonly C[];
  /** Columns, never null, that say how new a row is; an older one never overwrites a newer one. The generation decides between equals. */
  readonly version?: readonly C[];
  /**
   * Column that holds the data date: rows of a date that is loaded again and does not have them any more are deleted. Without it, none are;
   * nor are any by a generation that became letters in part or accepted a loss, because what was not read may still be true.
   */
  readonly dateColumn?: C;
}

/** Key of a row: where its record came from. Every target without a key of its own has these columns and a unique index on them. */
export const keyColumns: readonly Column[] = [
  { name: 'source_id', type: 'bigint' },
  { name: 'offset', type: 'bigint' },
];

/** Columns that a flow fills where the row does not say; a row may have them also where the table has not. */
export const filled: readonly string[] = ['line_no', 'data_date', 'generation'];

/** Say who wrote a row, not what it means: a reprocessing that finds the same row leaves them as they are. */
export const bookkeeping: readonly string[] = ['data_date', 'generation'];

/**
 * `table('orders', { id: 'bigint', paid_at: 'timestamptz' })`. The table has `source_id bigint, "offset" bigint` and a unique index on both besides.
 * Declared columns named `line_no`, `data_date` and `generation` are filled by the flow where the row has no such value.
 * `table('orders', { … }, { key: ['id'], version: ['paid_at'] })`: rows by a key of their own; see `ByKey`.
 */
export function table<const C extends Readonly<Record<string, ColumnType>>>(
  name: string,
  columns: C,
  byKey?: ByKey<NoInfer<keyof C & string>>,
): Target<keyof C & string> {
  const declared = Object.entries(columns).filter(([column]) => !keyColumns.some((key) => key.name === column));
  return {
    name,
    sql: name.split('.').map(quoted).join('.'),
    columns: [...keyColumns, ...declared.map(([column, type]) => ({ name: column, type }))],
    ...(byKey ? { byKey } : {}),
  };
}

export const quoted = (identifier: string): string => pg.escapeIdentifier(identifier);

/** The columns as COPY and INSERT name them; `own`: only those that a table by key has. */
export const columnList = (target: Target, which: 'all' | 'own' = 'all'): string =>
  (which === 'all' ? target.columns : ownColumns(target)).map(({ name }) => quoted(name)).join(', ');

/** The columns that the table itself has. */
export const ownColumns = (target: Target): readonly Column[] =>
  target.byKey ? target.columns.filter(({ name }) => !keyColumns.some((key) => key.name === name)) : target.columns;

export const copyInto = (relation: string, target: Target): string =>
  `copy ${relation} (${columnList(target)}) from stdin with (format binary)`;
