// What lives here: projects, and pipelines bound to the code of their stages.
// Invariant: a missing or foreign stage is a compile error; Temporal sees each stage as `pipeline/stage`, behind the guard.
// Apart from the workers because the command line reads projects without running them.
import type { DataConverter } from '@temporalio/common';
import type { Pool } from 'pg';
import type { OwnFormats } from '../flow/formats/own.ts';
import type { Sink } from '../flow/sink.ts';
import type { AnySpec, Fields } from '../model/spec.ts';
import type { OpenUpstreams } from '../connectors/upstream.ts';
import type { Upstreams } from '../model/upstream.ts';
import { type Around, guarded } from './activity/guard.ts';
import { stageLogIn } from './activity/stage-log.ts';
import type { Pipeline } from './workflow/pipeline.ts';

type StageCode = (input: never) => Promise<unknown>;

/** One pipeline with the code of its stages. */
export interface Served {
  readonly spec: AnySpec;
  readonly stages: Readonly<Record<string, StageCode>>;
}

/** `serve(logIngest, logIngestActivities(deps))`. A stage without code, or code without a stage, does not compile. */
export const serve = <A, F extends Fields, R>(one: Pipeline<A, F, R>, activities: NoInfer<A>): Served => ({
  spec: one.spec as unknown as AnySpec,
  stages: activities as Readonly<Record<string, StageCode>>,
});

/** What a project gives the worker and the command line: its pipelines, and how their stages are made. */
export interface Project {
  /** File that exports `default pipelines(…)`. */
  readonly workflows: URL;
  /** The outside services that its stages call: `upstreams({ 'http:quake-api': { address } })`. Default none. */
  readonly upstreams?: Upstreams;
  /** Made once per worker process. A stage calls `upstreams.at('http:quake-api').call(…)`. */
  serve(sink: Sink, upstreams: OpenUpstreams): readonly Served[];
  /** Your own payload codec or converter, the same for worker and client. */
  readonly dataConverter?: DataConverter;
}

/** A project whose stages are made with the keys of its own upstreams, and no others. */
export interface ProjectOf<U extends Upstreams> extends Omit<Project, 'upstreams' | 'serve'> {
  readonly upstreams?: U;
  serve(sink: Sink, upstreams: OpenUpstreams<keyof U & string>): readonly Served[];
}

/** A project of line formats alone: it runs the pipelines of this package, and its formats are chosen by `--set format=` of `log-ingest`. */
export interface FormatsProject extends Pick<Project, 'dataConverter'> {
  /** `{ shop: pattern({ … }), edge: accessFormat('…') }`; their names are chosen beside those of the package. */
  readonly formats: OwnFormats;
}

export function project<const U extends Upstreams = Upstreams>(value: ProjectOf<U>): Project;
export function project(value: FormatsProject): FormatsProject;
export function project(value: unknown): unknown {
  return value;
}

/** As Temporal calls it. */
export type Activity = (...args: never[]) => Promise<unknown>;

/** The activities of served pipelines as Temporal names them: `log-ingest/ingest`. For a Worker you make yourself, without a ledger. */
export function activitiesOf(
  served: readonly Served[],
  options: { control?: Pool; segmentMs?: number; upstreams?: NonNullable<Around['upstreams']> } = {},
): Record<string, Activity> {
  const around = {
    ...(options.control ? { stageLog: stageLogIn(options.control) } : {}),
    ...(options.segmentMs === undefined ? {} : { segmentMs: options.segmentMs }),
    ...(options.upstreams ? { upstreams: options.upstreams } : {}),
  };
  const all: Record<string, Activity> = {};
  for (const { spec, stages } of served)
    for (const [name, code] of Object.entries(stages)) {
      const type = `${spec.name}/${name}`;
      if (all[type])
        throw new TypeError(`Two pipelines serve the stage ${type}. Give each pipeline a name of its own.`);
      all[type] = guarded(code as (input: unknown) => Promise<unknown>, around) as Activity;
    }
  return all;
}

/**
 * The stages that an existing workflow takes with `adopt(name, …)`, for a Worker you make yourself: `activities: { ...yours, ...guardedStages(name, { fetch }) }`.
 * Each is called with one input, and its type is `name/stage`.
 */
export const guardedStages = (
  name: string,
  stages: Readonly<Record<string, StageCode>>,
  options: { segmentMs?: number } = {},
): Record<string, Activity> =>
  activitiesOf([{ spec: { name, owner: '', every: 'none', logic: '1', stages: {} }, stages }], options);
