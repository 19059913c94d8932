// What lives here: `npm run bench`: log-ingest from raw file to committed rows through Temporal, against `psql \copy` of the clean rows.
// Invariant: both load the same rows into the same table of the same server, in turns; only ratios of one round are compared, and parity is counted.
// Apart because figures are for people and history, never for a test.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { queues } from '../src/model/ids.ts';
import type { RunSummary } from '../src/model/messages.ts';
import {
  leanNode,
  stackAddresses,
  stackDown,
  stackUp,
  startWorkerProcess,
  type WorkerCommand,
  type WorkerProcess,
} from '../src/stack/index.ts';
import { generate, type Generated } from './generate.ts';

interface Settings {
  readonly lines: number;
  readonly rounds: number;
  readonly formats: readonly ('plain' | 'log4j' | 'apache')[];
  /** What is switched off, one at a time, in contenders that run beside the whole. */
  readonly without: readonly Part[];
}

/** `retry`: one attempt a stage. `healing`: the code of the stages with nothing of the engine around it. Validation is the parser itself and cannot be taken out of it; `bench/parse.ts` times it. */
type Part = 'retry' | 'healing';
const parts: readonly Part[] = ['retry', 'healing'];

function settingsOf(args: readonly string[]): Settings {
  const value = (name: string, fallback: string): string => {
    const at = args.indexOf(`--${name}`);
    return at < 0 ? fallback : (args[at + 1] ?? fallback);
  };
  return {
    lines: Number(value('lines', '1000000')),
    rounds: Number(value('rounds', '5')),
    formats: value('formats', 'plain,log4j,apache').split(',') as unknown as Settings['formats'],
    without: parts.filter((part) => value('without', '').split(',').includes(part)),
  };
}

interface Contender {
  readonly name: string;
  run(round: number): Promise<{ seconds: number; note?: string }>;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function main(): Promise<void> {
  const settings = settingsOf(process.argv.slice(2));
  if (spawnSync('psql', ['--version']).error)
    throw new Error('The bench compares with `psql \\copy`, and psql is not on PATH. Install the PostgreSQL client.');
  const dir = mkdtempSync(join(tmpdir(), 'mendflow-bench-'));
  spawnSync('chmod', ['755', dir]);
  const worker = {
    command: process.execPath,
    args: [...leanNode.args, resolve('dist/worker.js')],
    env: { ...leanNode.env, PATH: process.env['PATH'] ?? '', MENDFLOW_DIR: dir, MENDFLOW_LOG: 'info' },
    readyText: 'Worker is up.',
    cwd: dir,
  };
  const others: WorkerProcess[] = [];
  try {
    await stackUp({ dir, cacheDir: resolve('.mendflow/cache'), workers: 1, worker });
    const { databaseUrl, temporalAddress } = (await stackAddresses(dir))!;
    for (const part of settings.without)
      others.push(
        await startWorkerProcess({ ...variants[part](worker, databaseUrl, temporalAddress), dir, name: part }),
      );
    const report = [];
    for (const format of settings.formats) report.push(await benchFormat(dir, format, settings));
    mkdirSync('artifacts', { recursive: true });
    writeFileSync(
      'artifacts/bench.json',
      `${JSON.stringify({ at: new Date().toISOString(), cpus: cpus().length, memoryBytes: totalmem(), ...settings, report }, null, 2)}\n`,
    );
  } finally {
    await Promise.all(others.map((one) => one.stop()));
    await stackDown({ dir });
    rmSync(dir, { recursive: true, force: true });
  }
}

type Command = Pick<WorkerCommand, 'command' | 'args' | 'env' | 'readyText' | 'cwd'>;
const variants: Record<Part, (worker: Command, databaseUrl: string, temporalAddress: string) => Command> = {
  retry: (worker) => ({ ...worker, env: { ...worker.env, MENDFLOW_PREFIX: 'retry' }, cwd: resolve('bench/variants') }),
  healing: (worker, databaseUrl, temporalAddress) => ({
    ...worker,
    args: [...leanNode.args, '--import', 'tsx', 'bench/variants/bare.ts', databaseUrl, temporalAddress, 'healing'],
    cwd: resolve('.'),
  }),
};
const switchedOff: Record<Part, { readonly workflow: string; readonly queue: string }> = {
  retry: { workflow: 'log-ingest-once', queue: queues('retry').work },
  healing: { workflow: 'withoutHealing', queue: 'healing' },
};

async function benchFormat(
  dir: string,
  format: Settings['formats'][number],
  { lines, rounds, without }: Settings,
): Promise<object> {
  const raw = join(dir, `${format}.log`);
  const clean = join(dir, `${format}.copy`);
  const made = generate({ format, lines, raw, clean, dataDate: '2026-01-01' });
  say(
    `${format}: ${made.lines} lines, ${made.rows} clean rows, ${lines - made.rows} not loadable, raw sha256 ${made.rawSha256.slice(0, 12)}`,
  );
  const addresses = (await stackAddresses(dir))!;
  const admin = new pg.Client({ connectionString: addresses.adminUrl.replace(/\/[^/]*$/, '/mendflow') });
  // Stopping the stack after a failure ends this connection; the failure is what has to be read, not that.
  admin.on('error', () => undefined);
  await admin.connect();
  // Movements are append-only by trigger; between rounds the whole ledger is thrown away.
  await admin.query('set session_replication_role = replica');
  const connection = await Connection.connect({ address: addresses.temporalAddress });
  const client = new Client({ connection });
  const events: { count: number; bytes: number }[] = [];
  const contenders: Contender[] = [
    { name: 'psql', run: () => psqlCopy(addresses.databaseUrl, clean) },
    { name: 'mendflow', run: (round) => throughTemporal(client, { raw, format, round, made, events }) },
    ...without.map((part) => ({
      name: `without ${part}`,
      run: (round: number) => throughTemporal(client, { raw, format, round, made, events: [], ...switchedOff[part] }),
    })),
  ];
  const seconds: Record<string, number[]> = Object.fromEntries(contenders.map(({ name }) => [name, []]));
  const sums = new Set<string>();
  for (let round = 0; round <= rounds; round++) {
    const order = round % 2 === 0 ? contenders : contenders.toReversed();
    for (const contender of order) {
      await empty(admin);
      const took = await contender.run(round);
      sums.add(await checksum(admin));
      // The first round warms caches of all and is not counted.
      if (round > 0) seconds[contender.name]!.push(took.seconds);
      say(
        `  round ${round} ${contender.name.padEnd(15)} ${took.seconds.toFixed(2)} s ${took.note ?? ''}${round === 0 ? ' (warm-up)' : ''}`,
      );
    }
  }
  await connection.close();
  await admin.end();
  const ratiosTo = (name: string): number[] => seconds[name]!.map((base, round) => base / seconds['mendflow']![round]!);
  const ratios = ratiosTo('psql');
  for (const part of without) {
    // Above 1 the whole is slower than what lacks the part.
    const costs = ratiosTo(`without ${part}`).map((ratio) => 1 / ratio);
    say(`  ${part} costs a factor of ${median(costs).toFixed(3)} (${costs.map((one) => one.toFixed(3)).join(' ')})`);
  }
  const rss = peakRssMiB(dir);
  const parity = sums.size === 1;
  const last = events.at(-1)!;
  say(
    `  ratio to psql \\copy, median of ${ratios.length}: ${median(ratios).toFixed(2)} (${ratios.map((one) => one.toFixed(2)).join(' ')}); worker peak ${rss} MiB; parity ${parity ? 'yes' : 'NO'}; history ${last.count} events, ${last.bytes} bytes`,
  );
  if (!parity) process.exitCode = 1;
  return {
    format,
    ratio: median(ratios),
    ratios,
    seconds,
    peakRssMiB: rss,
    parity,
    history: last,
    rawSha256: made.rawSha256,
  };
}

/** The table as both find it: empty, with its key, and no checkpoint of the one charged to the other. */
async function empty(admin: pg.Client): Promise<void> {
  await admin.query(
    'truncate log_entries, mendflow.chunk, mendflow.slice, mendflow.dead_letter, mendflow.movement, mendflow.lease, mendflow.stage_run, mendflow.attempt, mendflow.run, mendflow.source restart identity cascade',
  );
  await admin.query('checkpoint');
}

/** Count and an order-free sum over all columns. */
async function checksum(admin: pg.Client): Promise<string> {
  const { rows } = await admin.query<{ sum: string }>(
    "select count(*) || ' ' || coalesce(sum(hashtextextended(t::text, 0)::numeric), 0) as sum from log_entries t",
  );
  return rows[0]!.sum;
}

async function psqlCopy(url: string, clean: string): Promise<{ seconds: number }> {
  const from = performance.now();
  const done = spawnSync(
    'psql',
    ['-X', '-q', '-v', 'ON_ERROR_STOP=1', url, '-c', `\\copy log_entries from '${clean}'`],
    { encoding: 'utf8' },
  );
  if (done.status !== 0) throw new Error(done.stderr);
  return { seconds: (performance.now() - from) / 1_000 };
}

interface Load {
  readonly raw: string;
  readonly format: string;
  readonly round: number;
  readonly made: Generated;
  readonly events: { count: number; bytes: number }[];
  readonly workflow?: string;
  readonly queue?: string;
}

async function throughTemporal(client: Client, load: Load): Promise<{ seconds: number; note: string }> {
  const from = performance.now();
  const { workflow = 'log-ingest', queue = queues('').work } = load;
  const workflowId = `${workflow}/2026-01-01/bench-${load.format}-${load.round}`;
  const handle = await client.workflow.start(workflow, {
    taskQueue: queue,
    workflowId,
    args: [
      {
        dataDate: '2026-01-01',
        input: { path: load.raw, format: load.format },
        scope: `bench-${load.format}-${load.round}`,
      },
    ],
  });
  const summary = (await handle.result()) as RunSummary;
  const seconds = (performance.now() - from) / 1_000;
  if (summary.loaded !== load.made.rows || (workflow.startsWith('log-ingest') && !summary.balanced))
    throw new Error(`The run loaded ${summary.loaded} rows instead of ${load.made.rows}.`);
  const { historyLength, historySize } = (await handle.describe()) as { historyLength: number; historySize?: number };
  load.events.push({ count: historyLength, bytes: historySize ?? 0 });
  return { seconds, note: `${Math.round(load.made.lines / seconds / 1_000)} k lines/s` };
}

/** Peak resident memory of the worker since it began, from the system's own books. */
function peakRssMiB(dir: string): number {
  const state = JSON.parse(readFileSync(join(dir, 'stack.json'), 'utf8')) as {
    workers: readonly { process: { pid: number } }[];
  };
  const status = readFileSync(`/proc/${state.workers[0]!.process.pid}/status`, 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)![1]) / 1024);
}

await main();
