// What lives here: daily-report's stages on a real database and the demo upstream, without a Temporal server around them.
// Invariant: stages, flow, ledger, HTTP client and breakers are the real ones; only the order of stages is played by hand.
// Apart because every test of daily-report begins with it, and the oracle must never come from the code under test.
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DemoUpstream, type DemoUpstreamOptions, startDemoUpstream } from '../../demo/upstream/upstream.ts';
import { type DailyReport, dailyReportActivities } from '../../src/activities/daily-report.ts';
import { type OpenUpstreams, openUpstreams } from '../../src/connectors/upstream.ts';
import { type StageContext, withStage } from '../../src/engine/activity/context.ts';
import type { Segment, Sink } from '../../src/flow/index.ts';
import { type Balance, balance } from '../../src/store/balance.ts';
import { closeRun } from '../../src/store/ledger.ts';
import { openRun } from '../../src/store/runs.ts';
import { ownUpstreams } from '../../src/upstreams.ts';
import { contextOf, testSink } from '../flow/memory.ts';

export const dates = [
  '2018-01-31',
  '2018-02-01',
  '2018-02-02',
  '2018-02-03',
  '2018-02-04',
  '2018-02-05',
  '2018-02-06',
  '2018-02-07',
] as const;

interface Raw {
  readonly id: string;
  readonly properties: {
    readonly mag: number;
    readonly time: number;
    readonly type: string;
    readonly sig: number;
    readonly tsunami: number;
    readonly updated: number;
    readonly place: string;
  };
  readonly geometry: { readonly coordinates: readonly [number, number, number] };
}

const file = new URL('../data/earthquakes.json', import.meta.resolve('vega-datasets'));
const raw = (JSON.parse(readFileSync(file, 'utf8')) as { features: Raw[] }).features;

/** The features of a UTC day, straight from the file. */
export const rawOf = (date: string): Raw[] =>
  raw.filter(({ properties }) => new Date(properties.time).toISOString().startsWith(date));

/** What has to be in daily_metrics for a day, computed from the file by other means than the pipeline's. */
export function metricsOf(date: string): Record<string, number> {
  const day = rawOf(date);
  const magnitudes = day.map(({ properties }) => properties.mag);
  const atLeast = (bound: number): number => magnitudes.filter((magnitude) => magnitude >= bound).length;
  const kinds = new Set(day.map(({ properties }) => properties.type));
  const ofKind = (kind: string): number => day.filter(({ properties }) => properties.type === kind).length;
  return {
    quakes: day.length,
    quakes_m2_5: atLeast(2.5),
    quakes_m4_5: atLeast(4.5),
    significant: day.filter(({ properties }) => properties.sig >= 600).length,
    tsunami: day.filter(({ properties }) => properties.tsunami === 1).length,
    magnitude_max: Math.max(...magnitudes),
    magnitude_mean: Number((magnitudes.reduce((sum, one) => sum + one, 0) / day.length).toFixed(3)),
    depth_km_max: Math.max(...day.map(({ geometry }) => geometry.coordinates[2])),
    significance_max: Math.max(...day.map(({ properties }) => properties.sig)),
    ...Object.fromEntries([...kinds].map((kind) => [`quakes_${kind.replace(' ', '_')}`, ofKind(kind)])),
  };
}

export interface Play {
  readonly dataDate: string;
  readonly generation?: number;
  readonly acceptLoss?: { readonly actor: string; readonly reason: string };
  /** Ends after this stage. */
  readonly until?: keyof DailyReport;
}

/** The outputs of the stages that were played. */
export interface Played {
  readonly [stage: string]: unknown;
}

export interface DailyScene {
  readonly sink: Sink & { url: string };
  readonly upstream: DemoUpstream;
  readonly upstreams: OpenUpstreams;
  readonly reportsDir: string;
  /** The stages in the order of the workflow; every stage is called until it is done. */
  play(play: Play): Promise<Played>;
  /** One stage by itself. */
  stage<O>(name: keyof DailyReport, input: unknown, more: Partial<StageContext> & { dataDate: string }): Promise<O>;
  /** Closes the run, as the engine does at its end. */
  close(dataDate: string): Promise<Balance>;
  open(dataDate: string, force?: boolean): Promise<number>;
  counted(dataDate: string): Promise<Balance>;
  rows<T>(sql: string, values?: unknown[]): Promise<T[]>;
  metrics(date: string): Promise<Record<string, number>>;
  end(): Promise<void>;
}

const finished = <O>(end: O | Segment<O>): O =>
  typeof end === 'object' && end !== null && 'done' in end ? (end as { done: true; out: O }).out : end;

export const runOf = (dataDate: string): string => `daily-report/${dataDate}`;

export async function openScene(demo: DemoUpstreamOptions = {}, pageRecords = 100): Promise<DailyScene> {
  const sink = await testSink();
  const upstream = await startDemoUpstream(demo);
  const reportsDir = await mkdtemp(join(tmpdir(), 'mendflow-daily-'));
  const upstreams = await openUpstreams(ownUpstreams({ mainApi: upstream.address }), {
    control: sink.pool,
    databaseUrl: sink.url,
    worker: 'test',
    readSecret: () => undefined,
  });
  const activities = dailyReportActivities({ sink, upstreams, reportsDir, pageRecords });
  const rows = async <T>(sql: string, values: unknown[] = []): Promise<T[]> =>
    (await sink.pool.query(sql, values)).rows as T[];

  const stage = async <O>(
    name: keyof DailyReport,
    input: unknown,
    more: Partial<StageContext> & { dataDate: string },
  ): Promise<O> => {
    const runKey = runOf(more.dataDate);
    const context: StageContext = {
      ...contextOf({ pipeline: 'daily-report', runKey, stage: name, quarantineShareMax: 0.05 }),
      attempt: 1,
      idempotencyKey: `${runKey}/${name}/1`,
      ...more,
    };
    const code = activities[name] as (input: unknown) => Promise<O | Segment<O>>;
    for (let segments = 0; segments < 1_000; segments++) {
      const end = await withStage(context, () => code(input));
      if (!(typeof end === 'object' && end !== null && 'done' in end && end.done === false)) return finished(end) as O;
    }
    throw new Error(`${name} did not end.`);
  };

  return {
    sink,
    upstream,
    upstreams,
    reportsDir,
    rows,
    stage,
    async play({ dataDate, generation = 1, acceptLoss, until }) {
      const at = { dataDate, generation };
      const out: Record<string, unknown> = {};
      const next = async (
        name: keyof DailyReport,
        input?: unknown,
        more: Partial<StageContext> = {},
      ): Promise<boolean> => {
        out[name] = await stage(name, input, { ...at, ...more });
        return name !== until;
      };
      if (!(await next('extract', undefined, acceptLoss ? { acceptLoss } : {}))) return out;
      if (!(await next('validate', out['extract']))) return out;
      if (!(await next('transform', out['validate']))) return out;
      if (!(await next('load', out['transform']))) return out;
      const day = out['transform'] as object;
      await next('report', { ...day, landed: out['extract'], valid: out['validate'], loaded: out['load'] });
      return out;
    },
    async open(dataDate, force = false) {
      const runKey = runOf(dataDate);
      const run = {
        runKey,
        pipeline: 'daily-report',
        dataDate,
        scope: '',
        workflowId: runKey,
        owner: 'test',
        input: {},
      };
      return (await openRun(sink.pool, run, { force })).generation;
    },
    close: (dataDate) => closeRun(sink.pool, runOf(dataDate)),
    counted: (dataDate) => balance(sink.pool, runOf(dataDate)),
    async metrics(date) {
      const found = await rows<{ id: string; value: number }>(
        'select metric_id as id, value from daily_metrics where date = $1',
        [date],
      );
      return Object.fromEntries(found.map(({ id, value }) => [id, value]));
    },
    async end() {
      await upstreams.close();
      await upstream.stop();
      await sink.end();
      await rm(reportsDir, { recursive: true, force: true });
    },
  };
}
