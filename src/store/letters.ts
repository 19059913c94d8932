// What lives here: dead letters: writing many in a chunk's transaction, listing them, opening one.
// Invariant: any bytes make a letter; what came from the record is sealed or hashed; the same record is the same letter.
// Apart because a letter that cannot be written stalls its run for ever.
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { v5 } from 'uuid';
import { RAW_BYTES_MAX, type Reject, type Violation } from '../flow/types.ts';
import type { Db } from './db.ts';
import type { LedgerKey } from './ledger.ts';
import type { Sealer } from './seal.ts';
import { ledgerStage } from './sources.ts';

/** Names of letters are made below this namespace; a constant for ever. */
const NAMESPACE = '6f0f6e9a-3d6c-5b52-9d0e-5a7c1d1f2b64';

export const letterId = (sourceId: string, offset: number, stage: string): string =>
  v5(`${sourceId} ${offset} ${ledgerStage(stage)}`, NAMESPACE);

/** Groups letters with the same cause: stage, codes and fields, never values. */
export const fingerprintOf = (stage: string, code: string, violations: readonly Violation[]): Buffer =>
  createHash('sha256')
    .update(JSON.stringify([ledgerStage(stage), code, violations.map((one) => [one.field, one.code])]))
    .digest()
    .subarray(0, 16);

/** Letters sent in one statement: bounds the memory that hex and quoting cost. */
const BATCH_LETTERS_MAX = 1_000;
const BATCH_BYTES_MAX = 4 * 1024 * 1024;

export interface LetterOptions {
  readonly seal: Sealer;
  /** Evidence of why a stage stopped, at the quarantine limit or before fewer rows: kept without a chunk, replaced when the record is accounted for. */
  readonly sample: boolean;
}

/** Writes letters, or brings the existing letter of the same record up to date. Part of the transaction of their chunk. */
export async function insertLetters(
  client: pg.ClientBase,
  key: LedgerKey,
  rejects: readonly Reject[],
  options: LetterOptions,
): Promise<void> {
  let batch: Reject[] = [];
  let bytes = 0;
  for (const reject of rejects) {
    batch.push(reject);
    bytes += Math.min(reject.raw.byteLength, RAW_BYTES_MAX);
    if (batch.length < BATCH_LETTERS_MAX && bytes < BATCH_BYTES_MAX) continue;
    await insertBatch(client, key, batch, options);
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) await insertBatch(client, key, batch, options);
}

async function insertBatch(
  client: pg.ClientBase,
  key: LedgerKey,
  rejects: readonly Reject[],
  options: LetterOptions,
): Promise<void> {
  const letters = rejects.map((reject) => sealed(key, reject, options.seal));
  const column = <K extends keyof SealedLetter>(name: K): SealedLetter[K][] => letters.map((letter) => letter[name]);
  // A letter that somebody discarded or resolved keeps its state: the same bytes were decided on before.
  // A sample never takes a letter over that a chunk accounts for: without a chunk in its generation, that run could not balance.
  await client.query(
    `insert into mendflow.dead_letter as l (id, source_id, off, len, line_no, stage, run_key, generation, raw, raw_whole, raw_sha256, detail, key_id, code, fingerprint, sample)
     select id, $1, off, len, line_no, $2, $3, $4, raw, raw_whole, raw_sha256, detail, $5, code, fingerprint, $6
     from unnest($7::uuid[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bytea[], $12::boolean[], $13::bytea[], $14::bytea[], $15::text[], $16::bytea[])
       as r(id, off, len, line_no, raw, raw_whole, raw_sha256, detail, code, fingerprint) order by id
     on conflict (id) do update set len = excluded.len, line_no = excluded.line_no, run_key = excluded.run_key, generation = excluded.generation, raw = excluded.raw,
       raw_whole = excluded.raw_whole, raw_sha256 = excluded.raw_sha256, detail = excluded.detail, key_id = excluded.key_id, code = excluded.code, last_at = clock_timestamp(),
       fingerprint = excluded.fingerprint, sample = excluded.sample and l.sample,
       earlier_runs = array_remove(case when l.sample then l.earlier_runs else l.earlier_runs || l.run_key end, excluded.run_key),
       state = case when l.state in ('superseded', 'expired') or l.sample and l.state = 'discarded' then 'open' else l.state end,
       reason = case when l.sample and l.state = 'discarded' then null else l.reason end
       where l.sample or not excluded.sample`,
    [
      key.sourceId,
      ledgerStage(key.stage),
      key.runKey,
      key.generation,
      options.seal.keyId,
      options.sample,
      column('id'),
      column('off'),
      column('len'),
      column('line'),
      column('raw'),
      column('rawWhole'),
      column('rawSha256'),
      column('detail'),
      column('code'),
      column('fingerprint'),
    ],
  );
}

interface SealedLetter {
  readonly id: string;
  readonly off: number;
  readonly len: number;
  readonly line: number | null;
  readonly raw: Buffer;
  readonly rawWhole: boolean;
  readonly rawSha256: Buffer;
  readonly detail: Buffer;
  readonly code: string;
  readonly fingerprint: Buffer;
}

function sealed(key: LedgerKey, reject: Reject, seal: Sealer): SealedLetter {
  const id = letterId(key.sourceId, reject.offset, key.stage);
  const raw = reject.raw.subarray(0, RAW_BYTES_MAX);
  return {
    id,
    off: reject.offset,
    len: reject.length,
    line: reject.line > 0 ? reject.line : null,
    raw: seal.seal(raw, `${id} raw`),
    rawWhole: reject.rawWhole && raw.byteLength === reject.raw.byteLength,
    rawSha256: Buffer.from(reject.rawSha256),
    detail: seal.seal(Buffer.from(JSON.stringify({ violations: reject.violations })), `${id} detail`),
    // Codes come from our own tables, but a user's step may make one up; a text column takes anything but NUL.
    code: reject.code.replaceAll('\0', '').toWellFormed().slice(0, 100),
    fingerprint: fingerprintOf(key.stage, reject.code, reject.violations),
  };
}

/** Removes what this generation no longer finds wrong in a range: the record was read again and is good now, or the bytes are others. */
export async function supersedeLetters(
  client: pg.ClientBase,
  key: LedgerKey,
  range: { from: number; to: number },
  keep: readonly Reject[],
): Promise<void> {
  await client.query(
    `update mendflow.dead_letter set state = 'superseded', earlier_runs = array_remove(earlier_runs, $7) where source_id = $1 and stage = $2 and off >= $3 and off < $4
     and state = 'open' and (generation < $5 or run_key <> $7) and not off = any ($6::bigint[])`,
    [
      key.sourceId,
      ledgerStage(key.stage),
      range.from,
      range.to,
      key.generation,
      keep.map(({ offset }) => offset),
      key.runKey,
    ],
  );
}

/** A letter without its contents; everything here may be shown to anybody who may see the run. */
export interface LetterLine {
  readonly id: string;
  readonly runKey: string;
  readonly stage: string;
  /** The source as text: the path of a file's log, the name of anything else. */
  readonly source: string;
  readonly offset: number;
  readonly length: number;
  readonly line: number | null;
  readonly code: string;
  readonly fingerprint: string;
  readonly state: string;
  readonly sample: boolean;
  /** Why it is not open any more, where somebody decided that. */
  readonly reason: string | null;
  /** When the record was found bad first. */
  readonly at: Date;
  /** When it was last, if it was again: all but `at` is as it was found then. */
  readonly lastAt: Date | null;
}

/** A letter with its contents, opened. */
export interface OpenedLetter extends LetterLine {
  readonly raw: Buffer;
  readonly rawWhole: boolean;
  readonly rawSha256: string;
  /** Where its file was seen last; null if it came from none. */
  readonly seen: string | null;
  readonly violations: readonly Violation[];
}

const lineColumns = `l.id, l.run_key as "runKey", l.stage, mendflow.source_text(s.name, s.hint) as source, l.off::float8 as offset, l.len::float8 as length,
  l.line_no::float8 as line, l.code, encode(l.fingerprint, 'hex') as fingerprint, l.state, l.sample, l.reason, l.at, l.last_at as "lastAt"`;

/**
 * Letters by run, pipeline, state and code; the open ones first, then by run and position. At most `limit`, 100 unless told. A letter is of the run that read its record last,
 * and is listed for every run that quarantined it.
 */
export async function listLetters(
  db: Db,
  filter: { runKey?: string; pipeline?: string; state?: string; code?: string; limit?: number },
): Promise<LetterLine[]> {
  const { runKey, state = null, code = null, pipeline = null, limit = 100 } = filter;
  const { rows } = await db.query<LetterLine>(
    `select ${lineColumns} from ${runKey === undefined ? 'mendflow.dead_letter' : 'mendflow.letters_of($5)'} l join mendflow.source s on s.id = l.source_id
     where ($1::text is null or l.state = $1) and ($2::text is null or l.code = $2) and ($3::text is null or s.pipeline = $3)
     order by l.state <> 'open', l.run_key, l.source_id, l.off limit $4`,
    [state, code, pipeline, limit, ...(runKey === undefined ? [] : [runKey])],
  );
  return rows;
}

/** How many letters this reading of a source has written, by code; samples are none of its figures. */
export async function lettersByCode(
  db: Db,
  { runKey, stage, sourceId, generation }: LedgerKey,
): Promise<(readonly [code: string, count: number])[]> {
  const { rows } = await db.query<{ code: string; count: number }>(
    `select code, count(*)::float8 as count from mendflow.dead_letter
     where run_key = $1 and stage = $2 and source_id = $3 and generation = $4 and not sample and state = 'open' group by 1 order by 1`,
    [runKey, ledgerStage(stage), sourceId, generation],
  );
  return rows.map(({ code, count }) => [code, count] as const);
}

/** Letters grouped by what is wrong, most frequent first. */
export async function groupLetters(
  db: Db,
  runKey: string,
): Promise<{ code: string; fingerprint: string; letters: number; example: string }[]> {
  const { rows } = await db.query<{ code: string; fingerprint: string; letters: number; example: string }>(
    `select code, encode(fingerprint, 'hex') as fingerprint, count(*)::int as letters, (array_agg(id order by off))[1] as example
     from mendflow.letters_of($1) where state = 'open' group by 1, 2 order by 3 desc, 2`,
    [runKey],
  );
  return rows;
}

/** One letter with its bytes and violations, or undefined if there is none with that ID (a full one, or at least its first 8 characters). */
export async function showLetter(db: Db, id: string, seal: Sealer): Promise<OpenedLetter | undefined> {
  const { rows } = await db.query<
    LetterLine & {
      raw: Buffer;
      rawWhole: boolean;
      rawSha256: Buffer;
      detail: Buffer;
      keyId: string;
      seen: string | null;
    }
  >(
    `select ${lineColumns}, l.raw, l.raw_whole as "rawWhole", l.raw_sha256 as "rawSha256", l.detail, l.key_id as "keyId",
       mendflow.name_text(decode(s.hint ->> 'path', 'base64')) as seen
     from mendflow.dead_letter l join mendflow.source s on s.id = l.source_id where l.id::text = $1 or (length($1) >= 8 and starts_with(l.id::text, $1)) limit 1`,
    [id.toLowerCase()],
  );
  const row = rows[0];
  if (!row) return undefined;
  const { detail, keyId, raw, rawSha256, ...line } = row;
  const opened = JSON.parse(seal.open(detail, `${line.id} detail`, keyId).toString()) as { violations: Violation[] };
  return {
    ...line,
    raw: seal.open(raw, `${line.id} raw`, keyId),
    rawSha256: rawSha256.toString('hex'),
    violations: opened.violations,
  };
}

/** Samples of a stage whose rest somebody gave up: the question they are evidence of was answered. */
export const discardSamples = (
  db: Db,
  { runKey, stage, sourceId, generation }: LedgerKey,
  reason: string,
): Promise<unknown> =>
  db.query(
    `update mendflow.dead_letter set state = 'discarded', reason = $5 where run_key = $1 and stage = $2 and source_id = $3 and generation = $4 and sample and state = 'open'`,
    [runKey, ledgerStage(stage), sourceId, generation, reason],
  );

/** Samples of a stage that stopped, whose records were loaded or quarantined after all once it went on: they are nobody's work any more. */
export const supersedeSamples = (db: Db, runKey: string): Promise<unknown> =>
  db.query(
    `update mendflow.dead_letter l set state = 'superseded' where l.run_key = $1 and l.sample and l.state = 'open'
     and exists (select from mendflow.chunk c where c.source_id = l.source_id and c.generation = l.generation and c.counted and c.extent @> l.off)`,
    [runKey],
  );
