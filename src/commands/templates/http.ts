// What lives here: the files of a new pipeline that fetches from an HTTP service, as texts.
// Invariant: what is written here compiles, passes its own test and runs on the stack (test/package); it is examples/upstream, which README quotes (test/unit).
// Apart from the other template because this one declares an upstream and a table.
import type { Files } from './files.ts';
import type { Names } from './names.ts';

/** Workflow, activities, table and test of a pipeline that fetches the records of a day and loads them. */
export const httpFiles = (names: Names): Files => ({
  [`src/workflows/${names.name}.ts`]: workflow(names),
  [`src/activities/${names.name}.ts`]: activities(names),
  [`sql/${names.name}.sql`]: table(names),
  [`test/${names.name}.test.ts`]: test(names),
});

/** The upstream's entry in src/upstreams.ts. */
export const httpUpstream = ({ name, variable }: Names): string => `'http:${name}': {
  address: process.env['${variable}_API'] ?? 'https://${name}.example.com/api',
  // Read anew at each call: from the environment, or from ${variable}_TOKEN_FILE. Take the line out where none is needed.
  headers: { authorization: secret('${variable}_TOKEN', { before: 'Bearer ' }) },
  callsPerSecond: 5, // over all workers
  good: (answer) => Array.isArray(answer.json()), // a 200 that says something else is refused by name
  // Three failures in a row stop the calls of all workers. What one run's stage meets again counts once while others are answered.
  breaker: { consecutive: 3, cooldownMs: 120_000 },
},`;

const workflow = ({
  name,
  value,
  type,
}: Names): string => `// In which order the stages run, and what happens when one fails.
import { flakyApi, local, pipeline, stages, warehouse } from 'mendflow/workflow';
import type { ${type} } from '../activities/${name}.ts';
import type { Upstream } from '../upstreams.ts';

export const ${value} = pipeline({
  name: '${name}',
  owner: 'nobody yet',
  about: 'The records of a day from a service, one row each; bad records become dead letters.',
  every: 'day',
  logic: '1',
  deadline: '12 hours',
  stages: stages<${type}, Upstream>({
    prepare: local,
    // Tried again as flakyApi says; while the breaker of its upstream is open, the run waits and holds nothing.
    fetch: { ...flakyApi, upstream: 'http:${name}' },
    // More than one record in a hundred bad, and more than ten: stop and ask, instead of filling the dead letters.
    load: { ...warehouse, quarantineShareMax: 0.01 },
  }),
  async run({ prepare, fetch, load }) {
    await prepare();
    return await load(await fetch());
  },
});
`;

const activities = ({
  name,
  value,
  type,
  table,
}: Names): string => `// What each stage does. Nothing here retries, waits or counts failures.
import {
  type DatasetRef,
  datasetSource,
  flow,
  json,
  landDataset,
  openHttp,
  parse,
  type Sink,
  table,
  transform,
} from 'mendflow/flow';
import { type OpenUpstreams, sql, stage } from 'mendflow/worker';
import type { Upstream } from '../upstreams.ts';

/** What the records of the dataset are; a release that makes others gives it another number. */
const schema = '${name}/1';
// The flow fills the data date and the generation.
const columns = { id: 'text', cents: 'bigint', data_date: 'date', generation: 'integer' } as const;
const into = table('${table}', columns, { key: ['id'], dateColumn: 'data_date' });

interface Item {
  id: string;
  cents: number;
}

/** What throws here makes a dead letter of that one record; the others are loaded. */
function check(value: unknown): Item {
  const { id, cents } = value as Partial<Item>;
  if (typeof id !== 'string' || id === '') throw new TypeError('id is missing');
  if (!Number.isSafeInteger(cents)) throw new TypeError('cents is no whole number');
  return value as Item;
}

export const ${value}Activities = (sink: Sink, upstreams: OpenUpstreams<Upstream>) => {
  const service = openHttp(upstreams.at('http:${name}'), upstreams);
  return {
    /** Makes the table. Safe to run again, as every stage has to be. */
    prepare: sql(new URL('../../sql/${name}.sql', import.meta.url), sink.pool),

    /** The records of the day. A cut, slow or failed answer is never taken for a short one. */
    async fetch(): Promise<DatasetRef> {
      const ctx = stage();
      return await landDataset(ctx, { sink, schema, asOf: new Date() }, async (landing) => {
        const answer = await service.get('/${name}', { ...ctx, query: { date: ctx.dataDate } });
        const found = answer.json() as readonly unknown[];
        for (const one of found) await landing.put(one);
        return { records: found.length };
      });
    },

    async load(fetched: DatasetRef) {
      return await flow({
        from: datasetSource(fetched, { schema }),
        // Columns by name: a field that the service adds one day changes nothing here.
        steps: [parse(json), parse(check), transform(({ id, cents }: Item) => ({ id, cents }))],
        into,
        sink,
      }).run(stage());
    },
  };
};
export type ${type} = ReturnType<typeof ${value}Activities>;
`;

const table = ({
  table,
}: Names): string => `-- One row per record of the service: one that is fetched again is updated where it differs.
create table if not exists "${table}" (
  id text primary key,
  cents bigint not null,
  data_date date not null,
  generation int not null
);
`;

const test = ({
  name,
  value,
}: Names): string => `// The pipeline's own logic, without Temporal, without Postgres and without a network.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runHere } from 'mendflow/testing';
import { ${value} } from '../src/workflows/${name}.ts';

it('loads what it fetched', async () => {
  const fetched = { dataset: '1', stage: 'fetch', schema: '${name}/1', records: 2, bytes: 40, sha256: '' };
  const bins = { read: 2, loaded: 2, duplicate: 0, quarantined: 0, skipped: 0 };
  const { result, calls } = await runHere(
    ${value},
    { dataDate: '2026-01-05' },
    { prepare: () => ({ rows: 0 }), fetch: () => fetched, load: () => bins },
  );
  assert.deepEqual(calls, ['prepare', 'fetch', 'load']);
  assert.deepEqual(result, bins);
});
`;
