// What lives here: whether a target table can be loaded exactly once, asked before anything is read.
// Invariant: whatever could drop, delay or redirect a row behind COPY's back is refused; what only might is warned of.
// Apart because it reads the catalogue, which nothing else in the data plane does.
import { type Column, keyColumns, ownColumns, type Target } from '../flow/table.ts';
import { CodedError } from '../model/failure.ts';
import type { Db } from './db.ts';

interface Facts {
  readonly kind: string;
  readonly rowSecurity: boolean;
  readonly columns: Record<string, string>;
  /** Columns that every row has to fill. */
  readonly required: string[];
  readonly deferrable: string[];
  readonly rules: string[];
  readonly triggers: string[];
  readonly keyed: boolean;
}

/** Checks the table; returns warnings. Fails with `pg_schema` for what is missing and `sink_unsafe` for what cannot be exactly once. */
export async function preflight(db: Db, target: Target): Promise<string[]> {
  const facts = await read(db, target);
  if (!facts)
    throw new CodedError(
      'pg_schema',
      `Table ${target.name} does not exist in the sink. Nothing was read or written. Create it, for example: ${ddl(target)}`,
    );
  if (!['r', 'p'].includes(facts.kind)) throw unsafe(target, 'is no plain or partitioned table');
  const missing = ownColumns(target).filter(({ name }) => facts.columns[name] === undefined);
  if (missing.length > 0)
    throw new CodedError(
      'pg_schema',
      `Table ${target.name} lacks ${missing.map(({ name, type }) => `${name} ${type}`).join(', ')}. Nothing was read or written. Add what is missing, for example: ${missing.map((column) => `alter table ${target.sql} add ${columnSql(column)};`).join(' ')}`,
    );
  checkTypes(target, facts);
  checkRequired(target, facts);
  if (facts.deferrable.length > 0) throw unsafe(target, `has deferrable constraints (${facts.deferrable.join(', ')})`);
  if (facts.rules.length > 0) throw unsafe(target, `has rules (${facts.rules.join(', ')})`);
  if (facts.rowSecurity) throw unsafe(target, 'has row level security');
  if (!facts.keyed)
    throw new CodedError(
      'pg_schema',
      `Table ${target.name} has no unique index on (${keyOf(target)}). Nothing was read or written. Create one: alter table ${target.sql} add primary key (${keyOf(target)});`,
    );
  return facts.triggers.map(
    (name) =>
      `Table ${target.name} has the trigger ${name}. Should it drop a row, the chunk is undone and the stage fails with rows_dropped.`,
  );
}

const unsafe = (target: Target, what: string): CodedError =>
  new CodedError(
    'sink_unsafe',
    `Table ${target.name} ${what}, so rows could change or vanish after COPY has counted them. Nothing was read or written.`,
  );

function checkTypes(target: Target, facts: Facts): void {
  const wrong = ownColumns(target).filter(({ name, type }) => !fits(type, facts.columns[name]!));
  if (wrong.length > 0)
    throw new CodedError(
      'pg_schema',
      `Table ${target.name} has other types than declared: ${wrong.map(({ name, type }) => `${name} is ${facts.columns[name]}, declared ${type}`).join('; ')}. Nothing was read or written.`,
    );
}

/** Each row would be refused, one by one, for a column that no step can give. */
function checkRequired(target: Target, { required }: Facts): void {
  const missing = required.filter((name) => !target.columns.some((column) => column.name === name));
  if (missing.length === 0) return;
  throw new CodedError(
    'pg_schema',
    `Table ${target.name} has columns that may not be null, have no default and are not declared: ${missing.join(', ')}. Nothing was read or written. Declare them in table('${target.name}', …) and give them in the last step, or give them a default.`,
  );
}

/** Binary COPY needs the very type; `varchar`, `char` and domains over them take the same bytes as `text`. */
const fits = (declared: string, actual: string): boolean =>
  actual.startsWith('numeric')
    ? declared === 'numeric'
    : declared === 'text'
      ? /^(text|character|citext$)/.test(actual)
      : actual.replace('timestamp with time zone', 'timestamptz') === declared;

const columnSql = ({ name, type }: Column): string => `"${name}" ${type}`;
const ddl = (target: Target): string =>
  `create table ${target.sql} (${ownColumns(target).map(columnSql).join(', ')}, primary key (${keyOf(target)}));`;

const keyNames = (target: Target): readonly string[] => target.byKey?.key ?? keyColumns.map(({ name }) => name);
const keyOf = (target: Target): string =>
  keyNames(target)
    .map((name) => (name === 'source_id' ? name : `"${name}"`))
    .join(', ');

async function read(db: Db, target: Target): Promise<Facts | undefined> {
  const { rows } = await db.query<Facts>(
    `select c.relkind as kind,
       c.relrowsecurity and (c.relforcerowsecurity or not pg_has_role(c.relowner, 'usage')) as "rowSecurity",
       (select coalesce(jsonb_object_agg(attname, format_type(coalesce(nullif(t.typbasetype, 0), atttypid), null)), '{}') from pg_attribute a join pg_type t on t.oid = atttypid
        where attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = '') as columns,
       array(select attname::text from pg_attribute where attrelid = c.oid and attnum > 0 and not attisdropped and attnotnull and not atthasdef
         and attidentity = '' and attgenerated = '' order by attnum) as required,
       array(select conname::text from pg_constraint where conrelid = c.oid and condeferrable order by 1) as deferrable,
       array(select rulename::text from pg_rewrite where ev_class = c.oid and rulename <> '_RETURN' order by 1) as rules,
       array(select tgname::text from pg_trigger where tgrelid = c.oid and not tgisinternal and tgenabled <> 'D' order by 1) as triggers,
       exists (select from pg_index i where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null and i.indnkeyatts = cardinality($2::text[])
         and (select array_agg(a.attname::text order by a.attname) from pg_attribute a where a.attrelid = c.oid and a.attnum = any (i.indkey[0:i.indnkeyatts - 1])) = (select array_agg(k order by k) from unnest($2::text[]) k)) as keyed
     from pg_class c where c.oid = to_regclass($1)`,
    [target.sql, keyNames(target)],
  );
  return rows[0];
}
