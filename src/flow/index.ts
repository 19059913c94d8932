// mendflow/flow: sources to tables, exactly once.
// Invariant: everything a pipeline's own code needs to move records, and nothing of Temporal; it works alone in a script.
// Apart as the public face of the data plane.
export { flow, type Flow, type FlowOptions, type OpenSource } from './flow.ts';
export { flowToDataset, type FlowToDataset, landDataset, type LandOptions, type MadeDataset } from './dataset.ts';
export type { Landing } from './dataset-landing.ts';
export type { DatasetRef } from './dataset-ref.ts';
export type { DatasetOptions } from './dataset-sink.ts';
export { aboutDataset, type DatasetAbout, datasetSource, type Expected, readDataset } from './dataset-source.ts';
export type { AnyStep, AnySteps, Chain, ColumnsFit, Fitting, Last, StepMismatch } from './chain.ts';
export { type ByKey, type Column, type ColumnType, table, type Target } from './table.ts';
export {
  json,
  parse,
  type RecordAbout,
  type Schema,
  type Step,
  type StepResult,
  transform,
  validate,
} from './steps.ts';
export { type OpenedRecords, recordReader, type RecordSource, type SourceRecord } from './record-reader.ts';
export {
  type ExactNumber,
  isExactNumber,
  isNumeric,
  nearest,
  type Numeric,
  readJson,
  writeJson,
} from '../model/exact-json.ts';
export { lines } from '../connectors/lines.ts';
export {
  type HttpAnswer,
  type HttpClient,
  type HttpOptions,
  type OpenHttp,
  openHttp,
} from '../connectors/http/index.ts';
export { openUpstreams } from '../connectors/upstream.ts';
export { provideSink, type Sink } from './sink.ts';
export type { AcceptedLoss, Bins, FlowContext, Progress, Segment } from './context.ts';
export { type Chunk, type ChunkReader, RAW_BYTES_MAX, type Range, type Reject, type Violation } from './types.ts';
export { createSealer, type LetterKey, type Sealer } from '../store/seal.ts';
