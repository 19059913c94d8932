// What lives here: what the stages of daily-report do.
// Invariant: an answer is sealed with its proof before anything reads it; each stage reads what an earlier one sealed, and nothing else.
// Apart from the workflow because this half touches the world.
import {
  aboutDataset,
  type Bins,
  type DatasetRef,
  datasetSource,
  flow,
  flowToDataset,
  type HttpClient,
  json,
  landDataset,
  type MadeDataset,
  openHttp,
  parse,
  readDataset,
  type Segment,
  type Sink,
  type Target,
  transform,
  validate,
} from 'mendflow/flow';
import { type OpenUpstreams, stage } from 'mendflow/worker';
import { volumesNear } from '../store/datasets.ts';
import { countDay, DATES_COMPARED, fetchDay, guardVolume, PAGE_RECORDS } from './daily-report/extract.ts';
import { pageOf } from './daily-report/page.ts';
import { publish } from './daily-report/publish.ts';
import {
  dailyFigures,
  type Feature,
  featureOn,
  type Metric,
  type Quake,
  quakeOf,
  schemas,
} from './daily-report/quake.ts';
import { CodedError } from '../model/failure.ts';
import { NOT_SET } from '../upstreams.ts';
import { metricsTable, quakesTable } from './daily-report/tables.ts';

const MAIN_API = 'http:main_api';
const REPORTING_DB = 'db:reporting_db';

export interface DailyReportDeps {
  readonly sink: Sink;
  /** Has to know `http:main_api` and `db:reporting_db`. */
  readonly upstreams: OpenUpstreams;
  /** Folder for the pages; made if it is not there. */
  readonly reportsDir: string;
  /** Events asked for at once. Default 100. */
  readonly pageRecords?: number;
}

/** What transform hands on. */
export interface Day {
  readonly quakes: MadeDataset;
  readonly metrics: DatasetRef;
}

export function dailyReportActivities(deps: DailyReportDeps) {
  const { sink, upstreams } = deps;
  let opened: HttpClient | undefined;
  const http = (): HttpClient => {
    const api = upstreams.at(MAIN_API);
    // Who tries the pipeline is not to call somebody on the internet unasked.
    if (api.declared.address === NOT_SET)
      throw new CodedError(
        'config_invalid',
        'No service of earthquakes is set, so none was called. Set MENDFLOW_MAIN_API where the workers start, such as https://earthquake.usgs.gov, start them again, then retry.',
      );
    return (opened ??= openHttp(api, { readSecret: (secret) => upstreams.readSecret(secret) }));
  };
  return {
    /** All events of the day, as the upstream tells them. */
    extract: async (): Promise<DatasetRef> => await extract(deps, http()),

    /** The events that are as they have to be; the others become dead letters. */
    async validate(landed: DatasetRef): Promise<Segment<MadeDataset>> {
      const ctx = stage();
      const from = datasetSource(landed, { schema: schemas.feature });
      const steps = [parse(json), validate(featureOn(ctx.dataDate))];
      return await flowToDataset({ from, steps, into: { schema: schemas.valid }, sink }).run(ctx);
    },

    /** Rows, and the figures of the day. */
    async transform(valid: DatasetRef): Promise<Segment<Day>> {
      const ctx = stage();
      const from = datasetSource(valid, { schema: schemas.valid });
      const steps = [parse(json), transform((feature: Feature) => quakeOf(feature))];
      const made = await flowToDataset({ from, steps, into: { name: 'quakes', schema: schemas.quake }, sink }).run(ctx);
      return made.done ? { done: true, out: { quakes: made.out, metrics: await measure(sink, made.out) } } : made;
    },

    /** Both tables, by their own keys: what is there already stays untouched. */
    async load({ quakes, metrics }: Day): Promise<Segment<Bins>> {
      const ctx = stage();
      const load = (ref: DatasetRef, schema: string, into: Target): Promise<Segment<Bins>> => {
        const one = flow({ from: datasetSource(ref, { schema }), steps: [parse(json)], into, sink });
        return upstreams.at(REPORTING_DB).call((signal) => one.run({ ...ctx, signal }), ctx);
      };
      const rows = await load(quakes, schemas.quake, quakesTable);
      if (!rows.done) return rows;
      const figures = await load(metrics, schemas.metric, metricsTable);
      return figures.done ? rows : figures;
    },

    /** A page about the day that needs nothing but itself. */
    report: (day: Finished): Promise<{ file: string } | null> => report(deps, day),
  };
}
export type DailyReport = ReturnType<typeof dailyReportActivities>;

async function extract({ sink, pageRecords = PAGE_RECORDS }: DailyReportDeps, http: HttpClient): Promise<DatasetRef> {
  const ctx = stage();
  const { dataDate, acceptLoss } = ctx;
  const window = { ...ctx, pageRecords };
  return await landDataset(ctx, { schema: schemas.feature, asOf: new Date(), sink }, async (landing) => {
    const total = await countDay(http, window);
    // An operator who accepts the loss has seen the figures and takes the day as it is.
    if (!acceptLoss) {
      const others = await volumesNear(sink.pool, { ...ctx, name: '' }, DATES_COMPARED);
      guardVolume(http.key, dataDate, total, others);
    }
    return await fetchDay(http, window, total, (feature) => landing.put(feature));
  });
}

async function measure(sink: Sink, quakes: DatasetRef): Promise<DatasetRef> {
  const ctx = stage();
  const { asOf } = await aboutDataset(sink.pool, quakes);
  const about = { name: 'metrics', schema: schemas.metric, asOf, derived: true, sink };
  return await landDataset(ctx, about, async (landing) => {
    const figures = dailyFigures(ctx.dataDate);
    for await (const quake of readDataset<Quake>(sink.pool, quakes, { schema: schemas.quake })) figures.add(quake);
    for (const metric of figures.metrics()) await landing.put(metric);
    return { from: quakes.sha256, records: quakes.records };
  });
}

/** What all stages before the report have made. */
export interface Finished extends Day {
  readonly landed: DatasetRef;
  readonly valid: MadeDataset;
  readonly loaded: Bins;
}

async function report(
  { sink, reportsDir }: DailyReportDeps,
  { landed, valid, quakes, metrics, loaded }: Finished,
): Promise<{ file: string }> {
  const { runKey: run, dataDate } = stage();
  const { asOf, origin } = await aboutDataset(sink.pool, landed);
  const counts = {
    read: landed.records,
    loaded: loaded.loaded,
    unchanged: loaded.duplicate,
    letters: valid.quarantined + quakes.quarantined + loaded.quarantined,
  };
  const page = pageOf({
    run,
    dataDate,
    asOf,
    origin,
    counts,
    quakes: await allOf<Quake>(sink, quakes, schemas.quake),
    metrics: await allOf<Metric>(sink, metrics, schemas.metric),
  });
  return { file: await publish(reportsDir, `daily-report-${dataDate}.html`, page) };
}

async function allOf<T>(sink: Sink, ref: DatasetRef, schema: string): Promise<T[]> {
  const all: T[] = [];
  for await (const one of readDataset<T>(sink.pool, ref, { schema })) all.push(one);
  return all;
}
