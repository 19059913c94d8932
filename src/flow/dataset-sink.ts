// What lives here: a dataset as the place where a flow's values go: begun under the lease, filled chunk by chunk, sealed at the end.
// Invariant: parts are written in the transaction of the ledger that accounts for their records; sealed is what was read back and hashed.
// Apart from the source, because one stage writes a dataset and others read it.
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { inDigits } from '../model/duration.ts';
import { CodedError } from '../model/failure.ts';
import type { Db } from '../store/db.ts';
import {
  bytesIn,
  type DatasetKey,
  type DatasetRow,
  datasetSourceId,
  findDataset,
  forgetPassed,
  giveUpDataset,
  insertDataset,
  insertPart,
  liveDataset,
  type NewDataset,
  type Part,
  partsOf,
  readPart,
  sealDataset,
} from '../store/datasets.ts';
import { hit } from '../store/failpoint.ts';
import { partsFrom, unpackPart, writeLine } from './dataset-lines.ts';
import { type DatasetRef, gone, refOf } from './dataset-ref.ts';
import type { Into } from './into.ts';
import { isRecordError } from './poison.ts';
import { fenced, type Session } from './session.ts';

/** Above this size a stage has to be a flow from its source to its table, without a dataset in between. */
export const DATASET_BYTES_MAX = 1024 ** 3;

/** A dataset as a stage declares it. */
export interface DatasetOptions {
  /** Which of several datasets of the stage; default the only one. */
  readonly name?: string;
  /** Name and version of what its records look like, such as `quake/1`. A reader that expects another has the stage done again. */
  readonly schema: string;
  /** Largest size, unpacked. Default 1 GiB, and never more. */
  readonly bytesMax?: number;
}

/** Where the values of one flow go. `made` is the sealed dataset, once the flow is done. */
export function intoDataset(options: DatasetOptions): Into & { made(): DatasetRef } {
  let id: string | undefined;
  let ref: DatasetRef | undefined;
  return {
    passes: true,
    // Parts are written one after the other: a dataset is read by its order, and packing it is the work.
    lanesMax: 1,
    encode: writeLine,
    loader: () => ({
      async load(client, chunk, _runs, prologue) {
        if (prologue !== '') await client.query(prologue);
        await addParts(client, id!, await partsFrom(chunk.from, Buffer.from(chunk.tuples)), options);
        return { loaded: chunk.rows, duplicate: 0, added: chunk.rows };
      },
    }),
    async begin(session, source, ctx) {
      const key = keyOf(ctx, options);
      const live = await keepOrGiveUp(session, key, options.schema);
      id = live?.id;
      if (id !== undefined) return;
      id = await fenced(session, async (client) => {
        await forgetPassed(client, { ...key, sourceId: source.sourceId });
        return await insertDataset(client, {
          ...key,
          schema: options.schema,
          passed: true,
          derived: false,
          asOf: source.asOf ?? new Date(),
          origin: 'live',
        });
      });
    },
    async end(session) {
      ref = await seal(session, id!);
    },
    made: () => ref!,
  };
}

/** What names the dataset of a stage, from what the stage was told and declares. */
export const keyOf = (
  ctx: { readonly runKey: string; readonly generation: number; readonly stage: string },
  { name = '' }: Pick<DatasetOptions, 'name'>,
): Pick<NewDataset, 'runKey' | 'generation' | 'stage' | 'name'> => ({
  runKey: ctx.runKey,
  generation: ctx.generation,
  stage: ctx.stage,
  name,
});

/**
 * What the stage has made so far, if it has the schema that the stage writes now; a sealed one has to read back as what was sealed besides:
 * else a reader that refused it would have the stage done again and be handed the same one. Such a dataset is given up, to be made anew.
 */
export async function keepOrGiveUp(session: Session, key: DatasetKey, schema: string): Promise<DatasetRow | undefined> {
  const live = await liveDataset(session.control, key);
  if (!live) return undefined;
  const isOurs = live.schema === schema;
  if (isOurs && (live.state !== 'sealed' || (await readsBack(session, live)))) return live;
  await fenced(session, (client) => giveUpDataset(client, live.id));
  return undefined;
}

/** Adds parts in the caller's transaction. Fails with `dataset_too_large` naming the limit. */
export async function addParts(
  client: pg.ClientBase,
  id: string,
  parts: readonly Part[],
  options: DatasetOptions,
): Promise<void> {
  const bytesMax = Math.min(options.bytesMax ?? DATASET_BYTES_MAX, DATASET_BYTES_MAX);
  const bytes = parts.reduce((sum, part) => sum + part.bytes, await bytesIn(client, id));
  if (bytes > bytesMax)
    throw new CodedError(
      'dataset_too_large',
      `The dataset would have ${inDigits(bytes)} bytes, and ${inDigits(bytesMax)} may be kept between two stages. This chunk was not written. ` +
        'Make the stage smaller (fewer inputs, fewer fields), or one flow from the source to the table.',
    );
  try {
    for (const part of parts) await insertPart(client, id, part);
  } catch (error) {
    // What the store says about a part is about no record, and no record must be blamed for it.
    if (!isRecordError(error)) throw error;
    throw new CodedError('code_bug', 'The store refused a part of a dataset. The chunk was not written.', {
      cause: error,
    });
  }
  hit('dataset.afterPart');
}

/** Reads back what was written, hashes it and closes it for ever. A dataset that is sealed is left as it is. */
export async function seal(
  session: Session,
  id: string,
  proof?: Readonly<Record<string, unknown>>,
): Promise<DatasetRef> {
  const before = await findDataset(session.control, id);
  if (before?.state === 'sealed') return refOf(before);
  if (!before || before.state === 'gone')
    throw gone({ dataset: id, stage: session.lease.stage }, 'was removed while it was made');
  const written = await readBack(session.control, id);
  if (!written)
    throw new CodedError('pg_corrupt', `A part of dataset ${id} is not what was written. It was not sealed.`);
  const { records, bytes, sha256 } = written;
  hit('dataset.beforeSeal');
  await fenced(session, async (client) => {
    const label = before.name === '' ? before.stage : `${before.stage}.${before.name}`;
    const named = { ...before, name: `${before.runKey} ${label}` };
    const sourceId = await datasetSourceId(client, named, sha256);
    await sealDataset(client, id, { sourceId, records, bytes, sha256, ...(proof ? { proof } : {}) });
  });
  hit('dataset.afterSeal');
  return refOf((await findDataset(session.control, id))!);
}

const readsBack = async ({ control }: Session, { id, sha256 }: DatasetRow): Promise<boolean> =>
  (await readBack(control, id))?.sha256.toString('hex') === sha256;

/** What all parts hold; undefined if one of them is not what was written. */
async function readBack(db: Db, id: string): Promise<{ records: number; bytes: number; sha256: Buffer } | undefined> {
  const hash = createHash('sha256');
  let records = 0;
  let bytes = 0;
  for (const place of await partsOf(db, id)) {
    const part = await readPart(db, id, place);
    const lines = part && (await unpackPart(part, place.bytes));
    if (!lines) return undefined;
    hash.update(lines);
    records += place.records;
    bytes += place.bytes;
  }
  return { records, bytes, sha256: hash.digest() };
}
